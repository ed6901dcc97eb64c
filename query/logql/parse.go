package logql

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of what is parsed.
const (
	maxQuery   = 128 << 10 // bytes
	maxNesting = 1000      // operators and parentheses of one query
)

// ParseError says what is wrong in a query, and where.
type ParseError struct {
	// Pos is zero where the query as a whole is meant.
	Pos
	Msg string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return "parse error : " + e.Msg
	}
	return fmt.Sprintf("parse error at line %d, col %d: %s", e.Line, e.Col, e.Msg)
}

// Parse reads a query. An error is a *ParseError.
func Parse(query string) (Expr, error) {
	return parse(query, func(p *parser) Expr { return p.expr(0) })
}

// ParseLog reads a query for lines. An error is a *ParseError.
func ParseLog(query string) (*LogExpr, error) {
	return parse(query, func(p *parser) *LogExpr {
		e := p.expr(0)
		log, ok := e.(*LogExpr)
		if !ok {
			p.fail(Pos{}, "only log queries are supported: "+e.String())
		}
		return log
	})
}

// ParseMatchers reads a selector alone, which may be empty here: {}. An error
// is a *ParseError.
func ParseMatchers(selector string) ([]*Matcher, error) {
	return parse(selector, func(p *parser) []*Matcher { return p.matchers() })
}

// parse runs a rule of the grammar over the whole of a text.
func parse[T any](query string, rule func(*parser) T) (result T, err error) {
	if len(query) > maxQuery {
		return result, &ParseError{Msg: fmt.Sprintf("input size too long (%d > %d)", len(query), maxQuery)}
	}
	tokens, failure := lex(query)
	if failure != nil {
		return result, failure
	}
	p := &parser{tokens: tokens}
	defer func() {
		if r := recover(); r != nil {
			failure, ok := r.(*ParseError)
			if !ok {
				panic(r)
			}
			err = failure
		}
	}()
	result = rule(p)
	if p.peek().kind != kindEnd {
		p.unexpected()
	}
	return result, nil
}

// parser goes down the grammar, a method a rule. It panics with a *ParseError.
type parser struct {
	tokens  []token // the last one is the end, which is never passed
	nesting int
}

func (p *parser) peek() *token { return &p.tokens[0] }

// ahead is the token behind the next one.
func (p *parser) ahead() *token { return &p.tokens[min(1, len(p.tokens)-1)] }

func (p *parser) next() *token {
	t := p.peek()
	if t.kind != kindEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) fail(at Pos, msg string) { panic(&ParseError{at, msg}) }

// unexpected fails because of the next token.
func (p *parser) unexpected(expecting ...string) {
	t := p.peek()
	msg := "syntax error: unexpected " + t.name()
	if len(expecting) > 0 {
		msg += ", expecting " + strings.Join(expecting, " or ")
	}
	p.fail(t.Pos, msg)
}

// is says whether the next token is one of the marks or words.
func (p *parser) is(texts ...string) bool { return p.peek().is(texts...) }

func (t *token) is(texts ...string) bool {
	return (t.kind == kindPunct || t.kind == kindIdent) && slices.Contains(texts, t.text)
}

// accept takes the next token if it is text.
func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.next()
	return true
}

// expect takes the next token, which has to be one of texts.
func (p *parser) expect(texts ...string) *token {
	if !p.is(texts...) {
		p.unexpected(texts...)
	}
	return p.next()
}

// need takes the next token, which has to be of kind k.
func (p *parser) need(k kind) *token {
	if p.peek().kind != k {
		p.unexpected(string(k))
	}
	return p.next()
}

// nest counts what makes trees deep, and walks through them long.
func (p *parser) nest() {
	if p.nesting++; p.nesting > maxNesting {
		p.fail(p.peek().Pos, fmt.Sprintf("more than %d operators and parentheses", maxNesting))
	}
}

// names reads a list of labels in parentheses.
func (p *parser) names() []string {
	names := []string{}
	p.expect("(")
	for !p.accept(")") {
		if len(names) > 0 {
			p.expect(",", ")")
		}
		names = append(names, p.need(kindIdent).text)
	}
	return names
}

const emptySelector = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. " +
	`For instance, app=~".*" does not meet this requirement, but app=~".+" will`

// selector reads {…}, of which something has to be there.
func (p *parser) selector() *LogExpr {
	e := &LogExpr{Pos: p.peek().Pos, Matchers: p.matchers()}
	if !slices.ContainsFunc(e.Matchers, func(m *Matcher) bool { return !m.Matches("") }) {
		p.fail(Pos{}, emptySelector)
	}
	return e
}

func (p *parser) matchers() []*Matcher {
	p.expect("{")
	matchers := []*Matcher{}
	for !p.accept("}") {
		if p.peek().kind != kindIdent {
			p.unexpected(string(kindIdent), "}")
		}
		matchers = append(matchers, p.matcher())
		if !p.is("}") {
			p.expect(",", "}")
		}
	}
	return matchers
}

// matcher reads name op "value".
func (p *parser) matcher() *Matcher {
	name := p.need(kindIdent)
	op := p.expect("=", "=~", "!~", "!=")
	return p.matching(name, op, p.need(kindString))
}

func (p *parser) matching(name, op, value *token) *Matcher {
	m, err := NewMatcher(name.text, MatchOp(slices.Index(matchOps[:], op.text)), value.text)
	if err != nil {
		p.fail(value.Pos, err.Error())
	}
	m.Pos = name.Pos
	return m
}
