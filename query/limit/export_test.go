package limit

// Codes are the codes with ClickHouse's names for them.
var Codes = map[int32]string{
	codeTooManyRows: "TOO_MANY_ROWS", codeTimeoutExceeded: "TIMEOUT_EXCEEDED", codeTooSlow: "TOO_SLOW",
	codeMemoryLimitExceeded: "MEMORY_LIMIT_EXCEEDED", codeTooManyBytes: "TOO_MANY_BYTES", codeResultTooLarge: "TOO_MANY_ROWS_OR_BYTES",
}

// Tenants is how many have or want a turn.
func (t *Turns) Tenants() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.tenants)
}
