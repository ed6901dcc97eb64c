package client

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// mediaTypes are those of the formats.
var mediaTypes = map[string]string{"ndjson": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}

// Export writes all that query (the parameters of the API's operation) means of
// what ("lines", "requests" or "coldstarts") to w, as ndjson, csv or parquet.
// LineFilter.Values gives the parameters of a filter of lines. It does not come
// to its end without an error unless all of it was written.
func (c *Client) Export(ctx context.Context, what, format string, query url.Values, w io.Writer) error {
	all := url.Values{"format": {format}}
	maps.Copy(all, query)
	res, err := c.open(ctx, http.MethodGet, c.path(all, "export", what), mediaTypes[format], nil)
	if err != nil {
		return fmt.Errorf("export %s: %w", what, err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("export %s: %w", what, c.unreachable(ctx, err))
	}
	return nil
}
