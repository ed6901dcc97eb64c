// Package schema is the store's shape: numbered SQL migrations, and the rows
// of each table with the columns they fill.
package schema
