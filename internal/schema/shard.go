package schema

import "github.com/go-faster/city"

// ShardKey is the sharding expression: a function's rows of all tables are on
// one shard.
const ShardKey = "cityHash64(tenant, namespace, function)"

// Local is the name of the table that holds a shard's rows of the table that is
// read under name.
func Local(name string) string { return name + "_local" }

// ShardHash is the value of ShardKey.
func ShardHash(tenant, namespace, function string) uint64 {
	h := city.CH64([]byte(tenant))
	h = combine(h, city.CH64([]byte(namespace)))
	return combine(h, city.CH64([]byte(function)))
}

// combine is how ClickHouse makes one hash of two: CityHash's Hash128to64.
func combine(low, high uint64) uint64 {
	const k = 0x9ddfea08eb382d69
	a := (low ^ high) * k
	a ^= a >> 47
	b := (high ^ a) * k
	b ^= b >> 47
	return b * k
}
