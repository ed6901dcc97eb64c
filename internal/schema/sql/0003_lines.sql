-- What a line says of itself. severity is OpenTelemetry's SeverityNumber, 0 for
-- not said; raw is the line with its escape sequences, '' where it has none.
ALTER TABLE logs
    ADD COLUMN IF NOT EXISTS severity UInt8 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS raw String CODEC(ZSTD(1));
