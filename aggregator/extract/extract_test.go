package extract

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

func extractor(t testing.TB, change func(*Config)) *Extractor {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	x, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// attributes are a line's as k=v, in their order.
func attributes(l *faas.Line) string {
	var out []string
	for _, a := range l.Attributes {
		out = append(out, a.Key+"="+a.Value)
	}
	return strings.Join(out, "|")
}

const (
	testTrace = "0af7651916cd43dd8448eb211c80319c"
	testSpan  = "b7ad6b7169203331"
	testUUID  = "5f2b6f0e-1b1e-4c5e-9c6a-2f1f5a1d3c4b"
)

// TestJSON: lines as libraries write them.
func TestJSON(t *testing.T) {
	x := extractor(t, nil)
	for _, c := range []struct {
		name, line string
		severity   faas.Severity
		attributes string
	}{
		{"slog", `{"time":"2026-01-02T03:04:05.678Z","level":"WARN","source":{"function":"main.main","file":"/a/main.go","line":9},"msg":"slow","took":1.5,"ok":true}`, 13, "source.function=main.main|source.file=/a/main.go|source.line=9|took=1.5|ok=true"},
		{"slog, between levels", `{"time":"2026-01-02T03:04:05.678Z","level":"ERROR+2","msg":"x"}`, 19, ""},
		{"slog, below", `{"time":"2026-01-02T03:04:05.678Z","level":"DEBUG-4","msg":"x"}`, 1, ""},
		{"zap", `{"level":"dpanic","ts":1767322800.123,"caller":"a/b.go:12","msg":"x","stacktrace":"main.f\n\t/a/b.go:12"}`, 18, "caller=a/b.go:12|stacktrace=main.f\n\t/a/b.go:12"},
		{"logrus", `{"level":"warning","msg":"a walrus","size":10,"time":"2026-01-02T03:04:05Z","animal":"walrus"}`, 13, "size=10|animal=walrus"},
		{"zerolog", `{"level":"fatal","error":"EOF","time":1767322800,"message":"stop"}`, 21, "error=EOF"},
		{"logstash-logback", `{"@timestamp":"2026-01-02T03:04:05.678+00:00","@version":"1","message":"x","logger_name":"c.e.A","thread_name":"main","level":"ERROR","level_value":40000}`, 17, "@version=1|logger_name=c.e.A|thread_name=main|level_value=40000"},
		{"log4j2", `{"instant":{"epochSecond":1767322800,"nanoOfSecond":1000},"thread":"main","level":"TRACE","loggerName":"c.e.A","message":"x","endOfBatch":false,"threadId":1}`, 1, "thread=main|loggerName=c.e.A|endOfBatch=false|threadId=1"},
		{"ECS", `{"@timestamp":"2026-01-02T03:04:05.678Z","log.level":"INFO","message":"x","ecs.version":"1.2.0","service":{"name":"a"}}`, 9, "ecs.version=1.2.0|service.name=a"},
		{"ECS, nested", `{"log":{"level":"warn","logger":"a"},"message":"x"}`, 13, "log.logger=a"},
		{"python-json-logger", `{"asctime":"2026-01-02 03:04:05,678","levelname":"CRITICAL","name":"app","message":"x"}`, 21, "name=app"},
		{"python levelno", `{"levelno":10,"message":"x"}`, 5, ""},
		{"structlog", `{"user":7,"event":"login","level":"info","timestamp":"2026-01-02T03:04:05Z"}`, 9, "user=7|event=login"},
		{"pino", `{"level":50,"time":1767322800123,"pid":7,"hostname":"h","reqId":"req-1234","msg":"x"}`, 17, "pid=7|hostname=h"},
		{"pino-http", `{"level":30,"time":1,"req":{"id":1,"method":"GET","headers":{"host":"a"}},"res":{"statusCode":503},"responseTime":3,"msg":"request completed"}`, 9, "req.id=1|req.method=GET|req.headers.host=a|res.statusCode=503|responseTime=3"},
		{"bunyan", `{"name":"a","hostname":"h","pid":1,"level":60,"msg":"x","time":"2026-01-02T03:04:05.678Z","v":0}`, 21, "name=a|hostname=h|pid=1|v=0"},
		{"winston", `{"level":"silly","message":"x","service":"a"}`, 1, "service=a"},
		{"Rust tracing", `{"timestamp":"2026-01-02T03:04:05.678Z","level":"INFO","fields":{"message":"x","answer":42},"target":"app"}`, 9, "fields.answer=42|target=app"},
		{".NET console", `{"EventId":14,"LogLevel":"Information","Category":"Microsoft.Hosting.Lifetime","Message":"x","State":{"{OriginalFormat}":"y"}}`, 9, "EventId=14|Category=Microsoft.Hosting.Lifetime|State.{OriginalFormat}=y"},
		{"Serilog compact", `{"@t":"2026-01-02T03:04:05.678Z","@mt":"hi {User}","@l":"Warning","User":"a"}`, 13, "@mt=hi {User}|User=a"},
		{"Monolog", `{"message":"x","context":{"a":1},"level":250,"level_name":"NOTICE","channel":"app","datetime":"2026-01-02T03:04:05+00:00","extra":[]}`, 10, "context.a=1|channel=app|extra=[]"},
		{"Monolog, number only", `{"message":"x","level":550}`, 21, ""},
		{"Google Cloud", `{"severity":"NOTICE","message":"x","httpRequest":{"status":200}}`, 10, "httpRequest.status=200"},
		{"Google Cloud number", `{"severity":500,"message":"x"}`, 17, ""},
		{"GELF", `{"version":"1.1","host":"h","short_message":"x","level":3}`, 17, "version=1.1|host=h|short_message=x"},
		{"OpenTelemetry", `{"severity_number":15,"body":"x"}`, 15, "body=x"},
		{"hclog", `{"@level":"debug","@message":"x","@module":"m"}`, 5, "@module=m"},
		{"Lambda", `{"timestamp":"2026-01-02T03:04:05Z","level":"ERROR","message":"x","requestId":"` + testUUID + `"}`, 17, ""},
		{"a word wins over a number", `{"level":20,"levelname":"ERROR"}`, 17, ""},
		{"access log", `{"method":"GET","path":"/","status":502}`, 17, "method=GET|path=/|status=502"},
		{"access log of strings", `{"response_code":"404","path":"/"}`, 9, "response_code=404|path=/"},
		{"no level", `{"result":"error","errors":0}`, 0, "result=error|errors=0"},
		{"a level that is none", `{"level":"boss","game":{"level":7.5}}`, 0, "level=boss|game.level=7.5"},
		{"spaces", " \t{ \"a\" : [ 1, { \"b\" : null } ] , \"c\" : -0.5e+10 , \"d\" : { } }\r", 0, "a=[ 1, { \"b\" : null } ]|c=-0.5e+10"},
		{"empty values", `{"a":"","b":null,"c":{}}`, 0, ""},
		{"a name twice", `{"a":1,"a":2,"b":{"c":3},"b.c":4}`, 0, "a=1|b.c=3"},
		{"escapes", `{"a\u002fb":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d","c":"\u001b[31mred\u001b[0m"}`, 0, "a/b=\"\\/\n\r\té😀\ufffd|c=red"},
		{"too deep to be fields", `{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}`, 0, `a.a.a.a.a.a.a.a={"a":1}`},
		{"cut", `{"level":"error","msg":"aaa`, 17, ""},
		{"two", `{"level":"error"}{"level":"error"}`, 17, ""},
		{"no value", `{"a":1,"level":}`, 0, ""},
		{"a number of another kind", `{"a":01}`, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := faas.Line{Body: c.line}
			x.Line(&l, nil)
			if l.Severity != c.severity || attributes(&l) != c.attributes || l.Body != c.line || l.Raw != "" {
				t.Errorf("got %d %q, want %d %q", l.Severity, attributes(&l), c.severity, c.attributes)
			}
		})
	}
}

func TestLogfmt(t *testing.T) {
	x := extractor(t, nil)
	for _, c := range []struct {
		name, line string
		severity   faas.Severity
		attributes string
	}{
		{"slog", `time=2026-01-02T03:04:05.678Z level=INFO source=a/b.go:42 msg="request handled" method=GET took=1.5ms`, 9, "source=a/b.go:42|method=GET|took=1.5ms"},
		{"slog, between levels", `time=2026-01-02T03:04:05.678Z level=WARN+1 msg=x`, 14, ""},
		{"logrus", `time="2026-01-02T03:04:05Z" level=warning msg="say \"hi\" \x1b[1mbold" animal=walrus`, 13, "animal=walrus"},
		{"logrus, Go's escapes", `level=info err="\x1b[1mbold\a"`, 9, "err=bold"},
		{"go-kit", `ts=2026-01-02T03:04:05.678Z caller=main.go:1 level=error err="open \"a\": no" component=`, 17, `caller=main.go:1|err=open "a": no`},
		{"log15", `t=2026-01-02T03:04:05+0000 lvl=dbug msg="x" a=1`, 5, "a=1"},
		{"Heroku", `at=error code=H12 desc="Request timeout" method=GET path=/ dyno=web.1 status=503 bytes=0`, 17, "at=error|code=H12|desc=Request timeout|method=GET|path=/|dyno=web.1|status=503|bytes=0"},
		{"an equals sign in a value", `level=info url=/a?b=c n=1`, 9, "url=/a?b=c|n=1"},
		{"a message without quotation marks", `level=error msg=cannot open n=1`, 17, "n=1"},
		{"mostly words", `level=error cannot open the file n=1`, 17, ""},
		{"one pair", `attempt=1 failed`, 0, ""},
		{"a text with pairs", `cannot open it: a=1 b=2 c=3 d=4`, 0, ""},
		{"a name twice", `a=1 a=2 b=3`, 0, "a=1|b=3"},
		{"cut", `level=error a=1 msg="abc`, 17, ""},
		{"errors=0", `done=1 errors=0`, 0, "done=1|errors=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := faas.Line{Body: c.line}
			x.Line(&l, nil)
			if l.Severity != c.severity || attributes(&l) != c.attributes {
				t.Errorf("got %d %q, want %d %q", l.Severity, attributes(&l), c.severity, c.attributes)
			}
		})
	}
}

func TestText(t *testing.T) {
	x := extractor(t, nil)
	for _, c := range []struct {
		severity faas.Severity
		line     string
	}{
		// glog, klog, syslog
		{9, "I0102 15:04:05.000000   10002 cache.go:503] released error 5"},
		{13, "W0102 15:04:05.000000       1 reflector.go:1] watch ended"},
		{17, "E20260102 15:04:05.000000 1 a.cc:5] no"},
		{21, "F0102 15:04:05.000000       1 main.go:1] exit"},
		{17, "<3>out of memory"},
		{10, "<29>Jan  2 15:04:05 host app[1]: started"},
		{0, "<999>x"},
		{0, "<b>x</b>"},
		// Java
		{17, "2026-01-02 03:04:05,678 ERROR [http-nio-8080-exec-10] com.acme.A - cannot merge"},
		{9, "2026-01-02T03:04:05.678Z  INFO 1 --- [           main] c.e.App : no ERROR today"},
		{13, "03:04:05.678 [main] WARN  c.e.App - x"},
		{5, "[main] DEBUG c.e.App - x"},
		{17, "Jan 02, 2026 3:04:05 AM c.e.App main\nSEVERE: x"[len("Jan 02, 2026 3:04:05 AM c.e.App main\n"):]},
		{17, "java.lang.IllegalStateException: could not process invoice"},
		{17, "Caused by: java.net.ConnectException: refused"},
		{17, `Exception in thread "main" java.lang.NullPointerException`},
		{0, "\tat com.acme.orders.OrderService.process(Source.java:20) ~[app.jar!/:1]"},
		{0, "    at new TypeError: (a.js:1)"},
		{17, "at 10:30 ERROR x"},
		{9, "  INFO app: x"},
		// Python
		{13, "WARNING:root:x"},
		{17, "2026-01-02 03:04:05,678 - app - ERROR - x"},
		{21, "CRITICAL:app:x"},
		{17, "Traceback (most recent call last):\n  File \"a.py\", line 1"},
		{17, "ValueError: bad"},
		{17, "requests.exceptions.ConnectionError: no"},
		{9, `INFO:     127.0.0.1:50000 - "GET / HTTP/1.1" 500 Internal Server Error`},
		{9, "[2026-01-02 03:04:05 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)"},
		{17, "[2026-01-02 03:04:05,678: ERROR/MainProcess] Task raised"},
		{9, "2026-01-02 03:04:05 [info     ] event                          a=1"},
		{10, "2026-01-02 03:04:05.678 | SUCCESS  | __main__:<module>:1 - x"},
		{17, "[ERROR]\t2026-01-02T03:04:05.678Z\t" + testUUID + "\tx"},
		// Go
		{9, "INFO[0001] listening"},
		{17, "ERRO[0001] no"},
		{9, "3:04PM INF x a=1"},
		{13, "2026-01-02T03:04:05Z WRN x"},
		{13, "2026-01-02T03:04:05.678Z\twarn\ta/b.go:1\tx"},
		{9, "2026-01-02T03:04:05.678Z [INFO]  agent: x"},
		{21, "panic: runtime error: index out of range [3]"},
		{21, "fatal error: all goroutines are asleep"},
		{0, "goroutine 1 [running]:"},
		{0, "2026/01/02 03:04:05 http: Server closed"},
		{17, `[GIN] 2026/01/02 - 03:04:05 | 502 |   1.2ms |  10.0.0.1 | GET      "/"`},
		{9, `[GIN] 2026/01/02 - 03:04:05 | 200 |   1.2ms |  10.0.0.1 | GET      "/"`},
		// Node
		{17, "error: cannot connect"},
		{9, "info: started"},
		{17, "npm ERR! code 1"},
		{17, "TypeError: x is not a function"},
		{17, "Error: Cannot find module"},
		{17, "2026-01-02T03:04:05.678Z\t" + testUUID + "\tERROR\tInvoke Error"},
		{13, "(node:7) Warning: x\n"[len("(node:7) "):]},
		{5, "2026-01-02T03:04:05Z debug: x"},
		// Rust, .NET, PHP, Ruby, Elixir
		{9, "[2026-01-02T03:04:05Z INFO  app] x"},
		{13, "2026-01-02T03:04:05.678901Z  WARN app::a: x"},
		{17, "thread 'main' panicked at src/main.rs:1:1:"},
		{17, "fail: Microsoft.AspNetCore.Server.Kestrel[13]"},
		{9, "info: Microsoft.Hosting.Lifetime[14]"},
		{18, "crit: A[0]"},
		{17, "[15:04:05 ERR] x"},
		{13, "2026-01-02 03:04:05.678 +00:00 [WRN] x"},
		{17, "Unhandled exception. System.InvalidOperationException: x"},
		{21, "PHP Fatal error:  Uncaught Exception: x in /a.php:1"},
		{13, "PHP Warning:  x in /a.php on line 1"},
		{10, "[02-Jan-2026 03:04:05] NOTICE: fpm is running, pid 1"},
		{17, "[2026-01-02 03:04:05] local.ERROR: x"},
		{13, "[2026-01-02T03:04:05.1+00:00] app.WARNING: x"},
		{17, "E, [2026-01-02T03:04:05.678901 #7] ERROR -- : x"},
		{17, "03:04:05.678 [error] GenServer terminating"},
		// Servers
		{9, `10.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "GET /ERROR?level=fatal HTTP/1.1" 404 5 "-" "curl"`},
		{17, `10.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "POST /a HTTP/2.0" 503 5 "-" "curl"`},
		{17, `[2026-01-02T03:04:05.678Z] "GET /a HTTP/1.1" 503 UF 0 91 1 - "-" "curl"`},
		{0, `10.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a FTP" 503 5`},
		{17, "2026/01/02 03:04:05 [error] 31#31: *1 open() failed"},
		{19, "2026/01/02 03:04:05 [alert] 1#1: x"},
		{13, "[2026-01-02 03:04:05.678][1][warning][main] [a.cc:1] x"},
		{17, "[Fri Jan 02 03:04:05.678 2026] [core:error] [pid 7] x"},
		{17, "2026-01-02 03:04:05.678 UTC [7] ERROR:  duplicate key"},
		// A field in a text.
		{17, "2026-01-02T03:04:05Z app level=error msg=x"},
		{13, `prefix {"level":"warn","a":1}`},
		{0, "GET /?level=error"},
		// Not what they seem.
		{0, "no error"},
		{0, "done, errors=0"},
		{0, "0 errors found"},
		{0, "no ERROR found"},
		{0, "ERROR_COUNT 5"},
		{0, "the last error: nil"},
		{0, "finished without ERROR"},
		{0, "ERRORS: 0"},
		{0, "ERROR=0"},
		{0, "informative: yes"},
		{0, "config: loaded"},
		{0, "a fine day"},
		{0, "/var/log/ERROR/x"},
		{0, "TERROR"},
		{0, "NON-FATAL x"},
		{0, "frame=  100 fps= 25 q=28.0"},
		{0, "START RequestId: " + testUUID + " Version: $LATEST"},
		{0, ""},
		{0, "x"},
	} {
		l := faas.Line{Body: c.line}
		x.Line(&l, nil)
		if l.Severity != c.severity || len(l.Attributes) > 0 {
			t.Errorf("%q is %d with %v, want %d", c.line, l.Severity, l.Attributes, c.severity)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	x := extractor(t, nil)
	for _, c := range []struct {
		line string
		want []string
	}{
		{`{"request_id":"b3f0-1234-abcd"}`, []string{"b3f0-1234-abcd"}},
		{"X-Scf-Request-Id: 0123456789", []string{"0123456789"}},
		{"request id = 'abcdefgh'", []string{"abcdefgh"}},
		{"REPORT RequestId: " + testUUID + "\tDuration: 1 ms", []string{testUUID}},
		{`{"awsRequestId":"` + testUUID + `","faas.invocation_id":"abcdefgh-2"}`, []string{testUUID, "abcdefgh-2"}},
		{`{"faas":{"invocation_id":"abcdefgh"},"aws_request_id":"abcdefgh"}`, []string{"abcdefgh"}},
		{`"GET / HTTP/1.1" 200 5 rt=0.1 rid=` + testUUID, []string{testUUID}},
		{"reqid=abcdefgh reqId: bcdefghi req_id=cdefghij x-request-id=defghijk", []string{"abcdefgh", "bcdefghi", "cdefghij", "defghijk"}},
		{"rid=11111111 rid=22222222 rid=33333333 rid=44444444 rid=55555555", []string{"11111111", "22222222", "33333333", "44444444"}},
		{"myrequestid=abcdefgh", []string{"abcdefgh"}},
		{"prefixRid=abcdefgh http.rid=bcdefghi", []string{"abcdefgh", "bcdefghi"}},
		{"grid=abcdefgh pid=12345678 user_id=12345678 PRID=abcdefgh", nil},
		{"request_id=short", nil},
		{"request_id=" + strings.Repeat("a", 128), []string{strings.Repeat("a", 128)}},
		{"request_id=" + strings.Repeat("a", 129), nil},
		{"request_id abcdefgh", nil},
		{"=: ==", nil},
	} {
		got := x.Line(&faas.Line{Body: c.line}, []string{"before"})
		if diff := cmp.Diff(append([]string{"before"}, c.want...), got); diff != "" {
			t.Errorf("%s: %s", c.line, diff)
		}
		if diff := cmp.Diff(c.want, x.IDs(c.line)); diff != "" {
			t.Errorf("%s, stored: %s", c.line, diff)
		}
	}
}

func TestConfiguredIDs(t *testing.T) {
	x := extractor(t, func(c *Config) {
		c.RequestIDs = RequestIDs{Keys: []string{"Correlation-ID", "@job"}, Patterns: []string{`\breq<([^>]+)>`, `^(x*)`, `^job (\w+)|gone`}, Traceparent: true}
	})
	for line, want := range map[string][]string{
		"correlation_id=abcdefgh":                               {"abcdefgh"},
		`{"correlationId":"abcdefgh"}`:                          {"abcdefgh"},
		`{"@job":"abcdefgh"}`:                                   {"abcdefgh"},
		"request_id=abcdefgh":                                   nil,
		"req<abcdefgh> req<no> req<bcdefghi":                    {"abcdefgh"},
		"traceparent: 00-" + testTrace + "-" + testSpan + "-01": {testTrace},
	} {
		if diff := cmp.Diff(want, x.Line(&faas.Line{Body: line}, nil)); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

// TestTraceAsRequest: a name may stand for both.
func TestTraceAsRequest(t *testing.T) {
	l := faas.Line{Body: "trace_id=" + testTrace}
	ids := extractor(t, func(c *Config) { c.RequestIDs.Keys = []string{"trace_id"} }).Line(&l, nil)
	if l.TraceID != testTrace || len(ids) != 1 || ids[0] != testTrace {
		t.Errorf("trace %q, request IDs %q", l.TraceID, ids)
	}
}

func TestTrace(t *testing.T) {
	x := extractor(t, nil)
	for _, c := range []struct{ line, trace, span string }{
		{`{"trace_id":"` + testTrace + `","span_id":"` + testSpan + `"}`, testTrace, testSpan},
		{`{"traceId":"` + strings.ToUpper(testTrace) + `","spanId":"` + strings.ToUpper(testSpan) + `"}`, testTrace, testSpan},
		{`level=info traceID=` + testTrace + ` spanID=` + testSpan, testTrace, testSpan},
		{`{"trace":{"id":"` + testTrace + `"},"span":{"id":"` + testSpan + `"}}`, testTrace, testSpan},
		{`{"trace.id":"` + testTrace + `"}`, testTrace, ""},
		{`{"@tr":"` + testTrace + `","@sp":"` + testSpan + `"}`, testTrace, testSpan},
		{"2026-01-02 03:04:05 INFO [a] [trace_id=" + testTrace + " span_id=" + testSpan + " x] - y", testTrace, testSpan},
		{`{"otelTraceID":"` + testTrace + `","otelSpanID":"` + testSpan + `"}`, testTrace, testSpan},
		{`{"logging.googleapis.com/trace":"projects/p/traces/` + testTrace + `","logging.googleapis.com/spanId":"` + testSpan + `"}`, testTrace, testSpan},
		{`{"dd.trace_id":"1234567890123456789","dd.span_id":"255"}`, "112210f47de98115", "00000000000000ff"},
		{`{"dd":{"trace_id":"` + testTrace + `"}}`, testTrace, ""},
		{"X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", "5759e988bd862e3fe1be46a994272793", ""},
		{"XRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8", "5759e988bd862e3fe1be46a994272793", ""},
		{"trace_id=0af76519-16cd-43dd-8448-eb211c80319c", testTrace, ""},
		{"traceparent: 00-" + testTrace + "-" + testSpan + "-01", testTrace, testSpan},
		{`"traceparent":"00-` + testTrace + `-` + testSpan + `-01"`, testTrace, testSpan},
		{"traceparent: 00-" + testTrace + "-" + testSpan, "", ""},
		{"trace_id=" + strings.Repeat("0", 32) + " span_id=" + strings.Repeat("0", 16), "", ""},
		{`{"parent_span_id":"` + testSpan + `","parentSpanId":"` + testSpan + `"}`, "", ""},
		{"trace: main.go trace_id=12 span_id=" + testTrace, "", ""},
		{"backtrace=" + testTrace + " square root: 1-2", "", ""},
	} {
		l := faas.Line{Body: c.line}
		if ids := x.Line(&l, nil); len(ids) > 0 {
			t.Errorf("%s: request IDs %v", c.line, ids)
		}
		if l.TraceID != c.trace || l.SpanID != c.span {
			t.Errorf("%s: %q %q, want %q %q", c.line, l.TraceID, l.SpanID, c.trace, c.span)
		}
	}
}

// TestColumnsAreNoAttributes: what has a column is not stored twice.
func TestColumnsAreNoAttributes(t *testing.T) {
	l := faas.Line{Body: `{"request_id":"` + testUUID + `","trace_id":"` + testTrace + `","span_id":"` + testSpan + `","level":"info","msg":"x","a":"b"}`}
	extractor(t, nil).Line(&l, nil)
	if got := attributes(&l); got != "a=b" {
		t.Error(got)
	}
}

// TestSender: what the sender said stays.
func TestSender(t *testing.T) {
	l := faas.Line{
		Body: `{"level":"info","trace_id":"` + testTrace + `","a":1,"b":2,"c":3}`, Raw: "raw",
		Severity: faas.SeverityFatal, TraceID: "their trace", SpanID: "their span", Attributes: []faas.Attribute{{Key: "b", Value: "theirs"}},
	}
	extractor(t, func(c *Config) { c.Attributes.Max = 2 }).Line(&l, nil)
	want := faas.Line{
		Body: l.Body, Raw: "raw", Severity: faas.SeverityFatal, TraceID: "their trace", SpanID: "their span",
		Attributes: []faas.Attribute{{Key: "b", Value: "theirs"}, {Key: "a", Value: "1"}},
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
}

func TestAttributeLimits(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		name       string
		change     func(*Attributes)
		line, want string
	}{
		{"number", func(a *Attributes) { a.Max = 2 }, `{"a":1,"b":2,"c":3,"level":"info"}`, "a=1|b=2"},
		{"none", func(a *Attributes) { a.Max = 0 }, `{"a":1,"level":"info"}`, ""},
		{"value", func(a *Attributes) { a.ValueBytes = 3 }, `{"a":"1234","b":"123","c":[1,2],"level":"info"}`, "b=123"},
		{"name", nil, `{"` + long + `":1,"a":{"` + long[:126] + `":2,"` + long[:127] + `":{"b":3}},"level":"info"}`, "a." + long[:126] + "=2"},
		{"by default", func(a *Attributes) { *a = DefaultConfig().Attributes }, `{"a":{"b":1},"user":7,"level":"info"}`, "a.b=1|user=7"},
		{"no field", func(a *Attributes) { a.Keep = nil }, `a=1 b=2 level=info`, ""},
		{"keep", func(a *Attributes) { a.Keep = []string{"http", "user.id"} }, `{"http":{"method":"GET","url":{"path":"/"}},"a":1,"user":{"id":7,"x":8},"level":"info"}`, "http.method=GET|http.url.path=/|user.id=7"},
		{"keep but drop", func(a *Attributes) { a.Keep, a.Drop = []string{"http"}, []string{"http.url"} }, `http=1 http.url=2 a=3 level=info`, "http=1"},
		{"drop", func(a *Attributes) { a.Drop = []string{"a"} }, `{"a":{"b":1},"msg":"x","level":"info"}`, "msg=x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := faas.Line{Body: c.line}
			x := extractor(t, func(cfg *Config) {
				if c.change != nil {
					c.change(&cfg.Attributes)
				}
			})
			x.Line(&l, nil)
			if got := attributes(&l); got != c.want || l.Severity != faas.SeverityInfo {
				t.Errorf("got %s %q, want %q", l.Severity, got, c.want)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	x := extractor(t, nil)
	for line, want := range map[string]string{
		"plain\ttext\nwith é, \u00a0, 日本":                     "",
		"\x1b[31mred\x1b[0m and \x1b[1;38;5;208mbold\x1b[m":   "red and bold",
		"\x1b]8;;https://a.example/\x1b\\link\x1b]8;;\x1b\\!": "link!",
		"\x1b]0;title\atext":                                  "text",
		"\u009b31mred\u009b0m \u009d0;title\u009ctext\u0085":  "red text",
		"\x1bPq#0\x1b\\a\x1b_b\x1b\\c\x1b^d\ae":               "ace",
		"\x1b(Bascii\x1b=\x1b>\x1bM":                          "ascii",
		"\x1b]8;;never closed":                                "8;;never closed",
		"\x1b]8;;never\nclosed\a":                             "8;;never\nclosed",
		"\x1b]a\x1b]b\x1b[31mc":                               "abc",
		"a\x1b":                                               "a",
		"a\x1b[31":                                            "a",
		"a\x1b[":                                              "a",
		"a\x1b[31é":                                           "aé",
		"a\x1b\x1b[1mb\x1b é":                                 "ab é",
		"nul\x00l, bell\a, over\bstrike, \x0eshift":           "null, bell, overstrike, shift",
		"\x1b[32mINFO\x1b[0m[0001] request_id=\x1b[36mabcdefgh\x1b[0m.": "INFO[0001] request_id=abcdefgh.",
		"a\u009b": "a",
	} {
		l := faas.Line{Body: line}
		x.Line(&l, nil)
		raw := line
		if want == "" {
			want, raw = line, ""
		}
		if l.Body != want || l.Raw != raw {
			t.Errorf("%q: body %q, raw %q; want %q", line, l.Body, l.Raw, want)
		}
	}
	l := faas.Line{Body: "\x1b[31mERROR\x1b[0m request_id=\x1b[36mabcdefgh\x1b[0m"}
	if ids := x.Line(&l, nil); l.Severity != faas.SeverityError || len(ids) != 1 || ids[0] != "abcdefgh" {
		t.Errorf("%s %v: colours hide what it says", l.Severity, ids)
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{
		RequestIDs: RequestIDs{Keys: []string{"", "a b", "_a"}, Patterns: []string{"(", "a"}},
		Attributes: Attributes{Max: -1, Keep: []string{strings.Repeat("a", 129)}, Drop: make([]string, 201)},
	}
	_, err := New(bad)
	if err == nil {
		t.Fatal("all that is taken")
	}
	for _, key := range []string{
		"request_ids.keys[0]: ", "request_ids.keys[1]: ", "request_ids.keys[2]: ", "request_ids.patterns[0]: ", "request_ids.patterns[1]: ",
		"attributes.max: ", "attributes.value_bytes: ", "attributes.keep[0]: ", "attributes.drop: ",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}
}
