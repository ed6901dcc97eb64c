package pipeline

import (
	"regexp/syntax"
	"strings"
)

// required is a text that every text has in it that the expression matches,
// as long as can be seen quickly; "" if none. To look for it first is much
// cheaper than the expression.
func required(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	return longest(re.Simplify())
}

func longest(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return longest(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return longest(re.Sub[0])
		}
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if s := longest(sub); len(s) > len(best) {
				best = s
			}
		}
		return best
	default:
	}
	return ""
}

// literals are the texts of which one has to be in a text that the expression
// matches somewhere, and that is all: the expression is not needed. nil if it is.
func literals(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	out, ok := expand(re.Simplify())
	if !ok {
		return nil
	}
	return out
}

// maxLiterals is how many texts are looked for instead of an expression.
const maxLiterals = 16

// expand gives the texts that re matches, if they are few.
func expand(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpCharClass:
		var out []string
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if len(out) == maxLiterals {
					return nil, false
				}
				out = append(out, string(r))
			}
		}
		return out, len(out) > 0
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			texts, ok := expand(sub)
			if out = append(out, texts...); !ok || len(out) > maxLiterals {
				return nil, false
			}
		}
		return out, true
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			texts, ok := expand(sub)
			if !ok || len(out)*len(texts) > maxLiterals {
				return nil, false
			}
			var joined []string
			for _, a := range out {
				for _, b := range texts {
					joined = append(joined, strings.Join([]string{a, b}, ""))
				}
			}
			out = joined
		}
		return out, true
	default:
		return nil, false
	}
}
