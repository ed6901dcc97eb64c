package clickhouse

// RetryableCodes is for the test that asks the engine for the codes' names.
var RetryableCodes = retryableCodes
