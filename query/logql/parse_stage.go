package logql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stageWords begin a stage, and are no names of labels in filters.
var stageWords = set("json", "logfmt", "regexp", "pattern", "unpack", "unwrap", "line_format", "label_format", "decolorize", "drop", "keep")

// atStage says whether a stage follows.
func (p *parser) atStage() bool { return p.is("|") || p.is(lineOps[:]...) }

// pipeline reads all stages that follow.
func (p *parser) pipeline() []Stage {
	var stages []Stage
	for p.atStage() {
		if p.is("|") && p.ahead().is("unwrap") {
			p.next()
			p.unexpected() // in a query for lines
		}
		stages = append(stages, p.stage())
	}
	return stages
}

func (p *parser) stage() Stage {
	if p.is(lineOps[:]...) {
		return p.lineFilter()
	}
	at := p.expect("|").Pos
	if !stageWords[p.peek().text] || p.peek().kind != kindIdent {
		if p.peek().kind != kindIdent && !p.is("(") {
			p.unexpected()
		}
		return &LabelFilterStage{at, p.labelFilter()}
	}
	switch word := p.next(); word.text {
	case "json":
		s := &JSONParser{Pos: at}
		s.Fields = p.extractions(jsonPath)
		return s
	case "logfmt":
		return p.logfmt(at)
	case "regexp":
		return p.regexpParser(at)
	case "pattern":
		value := p.need(kindString)
		pattern, err := ParsePattern(value.text)
		if err == nil && !pattern.Named() {
			err = errors.New("at least one capture is required")
		}
		if err != nil {
			p.fail(value.Pos, "invalid pattern: "+err.Error())
		}
		return &PatternParser{at, value.text, pattern}
	case "unpack":
		return &UnpackParser{at}
	case "line_format":
		return &LineFormat{at, p.need(kindString).text}
	case "label_format":
		return p.labelFormat(at)
	case "decolorize":
		return &Decolorize{at}
	case "drop":
		return &DropLabels{at, p.choices()}
	case "keep":
		return &KeepLabels{at, p.choices()}
	default:
		p.fail(word.Pos, "syntax error: unexpected "+word.text)
		return nil
	}
}

func (p *parser) lineFilter() *LineFilter {
	op := p.next()
	f := &LineFilter{Pos: op.Pos, Op: LineOp(slices.Index(lineOps[:], op.text))}
	for {
		f.Alternatives = append(f.Alternatives, p.lineMatch(f.Op))
		if !p.is("or") {
			return f
		}
		p.next()
	}
}

func (p *parser) lineMatch(op LineOp) *LineMatch {
	m := &LineMatch{Pos: p.peek().Pos}
	if p.is("ip") && (op == LineContains || op == LineNotContains) {
		m.IP = true
		m.Value = p.ip()
		return m
	}
	value := p.need(kindString)
	m.Value = value.text
	var err error
	switch op {
	case LineRegexp, LineNotRegexp:
		// Here, too, a dot matches a line break.
		m.Regexp, err = regexp.Compile("(?s)" + m.Value)
	case LinePattern, LineNotPattern:
		if m.Pattern, err = ParsePattern(m.Value); err == nil && m.Pattern.Named() {
			err = errors.New("a pattern of a line filter has no named captures, <_> alone")
		}
	default:
	}
	if err != nil {
		p.fail(value.Pos, err.Error())
	}
	return m
}

// ip reads ip("…").
func (p *parser) ip() string {
	p.expect("ip")
	p.expect("(")
	value := p.need(kindString)
	p.expect(")")
	if _, err := ParseIPRange(value.text); err != nil {
		p.fail(value.Pos, err.Error())
	}
	return value.text
}

// extractions reads name="expression", name, … as far as there are any.
func (p *parser) extractions(path func(string) ([]PathElem, error)) []*Extraction {
	var list []*Extraction
	for p.peek().kind == kindIdent {
		name := p.next()
		x := &Extraction{Pos: name.Pos, Name: name.text, Expr: name.text}
		at := name.Pos
		if p.accept("=") {
			expr := p.need(kindString)
			x.Expr, at = expr.text, expr.Pos
		}
		var err error
		if x.Path, err = path(x.Expr); err != nil {
			p.fail(at, fmt.Sprintf("cannot parse expression [%s]: %s", x.Expr, err))
		}
		list = append(list, x)
		if !p.is(",") {
			break
		}
		p.next()
		if p.peek().kind != kindIdent {
			p.unexpected(string(kindIdent))
		}
	}
	return list
}

func (p *parser) logfmt(at Pos) *LogfmtParser {
	s := &LogfmtParser{Pos: at}
	for p.peek().kind == kindFlag {
		switch flag := p.next(); flag.text {
		case "--strict":
			s.Strict = true
		case "--keep-empty":
			s.KeepEmpty = true
		default:
			p.fail(flag.Pos, "unknown flag "+flag.text+", expecting --strict or --keep-empty")
		}
	}
	s.Fields = p.extractions(func(key string) ([]PathElem, error) {
		if key == "" {
			return nil, errors.New("no key")
		}
		return []PathElem{{Key: key, IsKey: true}}, nil
	})
	return s
}

func (p *parser) regexpParser(at Pos) *RegexpParser {
	value := p.need(kindString)
	re, err := regexp.Compile(value.text)
	if err != nil {
		p.fail(value.Pos, err.Error())
	}
	seen := map[string]bool{}
	for _, name := range re.SubexpNames() {
		switch {
		case name == "":
			continue
		case !IsLabelName(name):
			p.fail(value.Pos, fmt.Sprintf("invalid extracted label name '%s'", name))
		case seen[name]:
			p.fail(value.Pos, fmt.Sprintf("duplicate extracted label name '%s'", name))
		}
		seen[name] = true
	}
	if len(seen) == 0 {
		p.fail(value.Pos, "at least one named capture must be supplied")
	}
	return &RegexpParser{at, value.text, re}
}

func (p *parser) labelFormat(at Pos) *LabelFormat {
	s := &LabelFormat{Pos: at}
	seen := map[string]bool{}
	for {
		name := p.need(kindIdent)
		if seen[name.text] {
			p.fail(name.Pos, fmt.Sprintf("multiple label name '%s' not allowed in a single format operation", name.text))
		}
		seen[name.text] = true
		p.expect("=")
		a := &LabelAssignment{Pos: name.Pos, Name: name.text}
		switch p.peek().kind {
		case kindIdent:
			a.From = p.next().text
		case kindString:
			a.Template = p.next().text
		default:
			p.unexpected(string(kindIdent), string(kindString))
		}
		s.Labels = append(s.Labels, a)
		if !p.accept(",") {
			return s
		}
	}
}

// choices reads the labels of drop and keep.
func (p *parser) choices() []*LabelChoice {
	var list []*LabelChoice
	for {
		name := p.need(kindIdent)
		c := &LabelChoice{Pos: name.Pos, Name: name.text}
		// A != or !~ with a string is this label's, as in drop a!="b", not a
		// line filter.
		if p.is(matchOps[:]...) {
			op := p.next()
			c.Matcher = p.matching(name, op, p.need(kindString))
		}
		list = append(list, c)
		if !p.accept(",") {
			return list
		}
	}
}

// labelFilter reads a condition on labels. What stands side by side or with a
// comma between is an and, which binds more than or.
func (p *parser) labelFilter() LabelFilter {
	at := p.peek().Pos
	left := p.allFilters()
	for p.accept("or") {
		p.nest()
		left = &OrFilter{at, left, p.allFilters()}
	}
	return left
}

func (p *parser) allFilters() LabelFilter {
	at := p.peek().Pos
	left := p.oneFilter()
	for {
		another := p.is("(") || p.peek().kind == kindIdent && !p.is("or")
		if !p.is(",", "and") && !another {
			return left
		}
		if !another || p.is("and") {
			p.next()
		}
		p.nest()
		left = &AndFilter{at, left, p.oneFilter()}
	}
}

func (p *parser) oneFilter() LabelFilter {
	if p.accept("(") {
		p.nest()
		f := p.labelFilter()
		p.expect(")")
		return f
	}
	name := p.peek()
	if name.kind != kindIdent || stageWords[name.text] || name.is("and", "or") {
		p.unexpected(string(kindIdent))
	}
	p.next()
	op := p.expect("=", "!=", "=~", "!~", "==", ">", ">=", "<", "<=")
	switch {
	case op.is(matchOps[:]...) && p.peek().kind == kindString:
		return &StringFilter{p.matching(name, op, p.next())}
	case op.is("=", "!=") && p.is("ip"):
		return &IPFilter{name.Pos, name.text, op.text == "!=", p.ip()}
	case op.is("=~", "!~"):
		p.unexpected(string(kindString))
	}
	return p.comparison(name, op)
}

// comparison reads the value of a filter by number, duration or size.
func (p *parser) comparison(name, op *token) LabelFilter {
	compare := CompareOp(max(0, slices.Index(compareOps[:], op.text))) // = is ==
	negative := p.is("-")
	if p.is("-", "+") {
		p.next()
	}
	value := p.peek()
	switch value.kind {
	case kindNumber:
		if p.next(); negative {
			value.number = -value.number
		}
		return &NumberFilter{name.Pos, name.text, compare, value.number}
	case kindDuration:
		if p.next(); negative {
			value.duration = -value.duration
		}
		return &DurationFilter{name.Pos, name.text, compare, value.duration}
	case kindBytes:
		if !negative {
			p.next()
			return &BytesFilter{name.Pos, name.text, compare, value.bytes}
		}
	default:
	}
	if op.is("=", "!=") {
		p.unexpected(string(kindString), string(kindNumber), string(kindDuration), string(kindBytes))
	}
	p.unexpected(string(kindNumber), string(kindDuration), string(kindBytes))
	return nil
}

// unwrap reads the stage that makes values, and the filters behind it.
func (p *parser) unwrap() *Unwrap {
	u := &Unwrap{Pos: p.expect("|").Pos}
	p.expect("unwrap")
	label := p.need(kindIdent)
	if p.is("(") {
		u.Conversion = Conversion(label.text)
		if !slices.Contains([]Conversion{ConvertBytes, ConvertDuration, ConvertDurationSeconds}, u.Conversion) {
			p.fail(label.Pos, "unknown conversion "+label.text+", expecting bytes or duration or duration_seconds")
		}
		p.next()
		label = p.need(kindIdent)
		p.expect(")")
	}
	u.Label = label.text
	return u
}

// jsonPath takes an expression of the json parser apart: keys with dots between
// and positions or quoted keys in brackets, as servers[0].name or ["a b"].c.
func jsonPath(s string) ([]PathElem, error) {
	var path []PathElem
	for rest := s; rest != ""; {
		if rest[0] == '[' {
			elem, tail, err := bracket(rest)
			if err != nil {
				return nil, err
			}
			path, rest = append(path, elem), tail
			continue
		}
		if len(path) > 0 {
			if rest[0] != '.' {
				return nil, fmt.Errorf("unexpected %q", rest)
			}
			rest = rest[1:]
		}
		n := strings.IndexAny(rest+".", ".[]\" \t\n")
		if n == 0 {
			return nil, errors.New("a key is missing")
		}
		path, rest = append(path, PathElem{Key: rest[:n], IsKey: true}), rest[n:]
	}
	if len(path) == 0 {
		return nil, errors.New("it is empty")
	}
	return path, nil
}

// bracket reads ["key"] or [5].
func bracket(s string) (elem PathElem, rest string, err error) {
	s = s[1:]
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return elem, "", errors.New("a key in quotes has no end")
		}
		if elem.Key, err = strconv.Unquote(quoted); err != nil {
			return elem, "", fmt.Errorf("key %s: %w", quoted, err)
		}
		elem.IsKey = true
		s = s[len(quoted):]
	} else {
		n := strings.IndexByte(s+"]", ']')
		if elem.Index, err = strconv.Atoi(s[:n]); err != nil || elem.Index < 0 {
			return elem, "", fmt.Errorf("%q is no position", s[:n])
		}
		s = s[n:]
	}
	rest, ok := strings.CutPrefix(s, "]")
	if !ok {
		return elem, "", errors.New("a ] is missing")
	}
	return elem, rest, nil
}

// durationOf reads a duration with its sign.
func (p *parser) durationOf() time.Duration {
	negative := p.accept("-")
	if d := p.need(kindDuration).duration; !negative {
		return d
	} else {
		return -d
	}
}
