package extract

// role is what a field's name means.
type role uint8

const (
	roleLevel role = 1 << iota
	roleStatus
	roleTrace
	roleSpan
	roleKeep
	roleDrop
)

// nameTable finds roles by a field's name, whatever its case, without hashing
// it: length, first and last byte tell most names apart.
type nameTable struct {
	heads   [256]uint16 // index+1 into entries
	entries []nameEntry
}

type nameEntry struct {
	name string // lower case
	role role
	next uint16
}

func slot(name string) uint8 {
	return uint8(len(name))*31 + (name[0]|0x20)*7 + (name[len(name)-1] | 0x20)
}

func (t *nameTable) add(name string, r role) {
	lower := []byte(name)
	for i, c := range lower {
		lower[i] = lowerByte(c)
	}
	name = string(lower)
	h := slot(name)
	for n := t.heads[h]; n != 0; n = t.entries[n-1].next {
		if e := &t.entries[n-1]; e.name == name {
			e.role |= r
			return
		}
	}
	t.entries = append(t.entries, nameEntry{name, r, t.heads[h]})
	t.heads[h] = uint16(len(t.entries))
}

// role is what name means, 0 for nothing special.
func (t *nameTable) role(name string) role {
	if name == "" {
		return 0
	}
	for n := t.heads[slot(name)]; n != 0; n = t.entries[n-1].next {
		if e := &t.entries[n-1]; equalFold(name, e.name) {
			return e.role
		}
	}
	return 0
}

// equalFold is for ASCII; lower is in lower case.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		if s[i] != lower[i] && lowerByte(s[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}

func isLetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
