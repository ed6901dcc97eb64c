package ingest

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"

	common "go.opentelemetry.io/proto/otlp/common/v1"
)

// text gives a value as text: a string as it is, all else as JSON.
func text(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case nil:
		return ""
	case *common.AnyValue_StringValue:
		return v.StringValue
	}
	return string(appendJSON(nil, v))
}

// appendJSON appends a value as JSON. Bytes are base64, and a number that JSON
// does not have is a string.
func appendJSON(dst []byte, v *common.AnyValue) []byte {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return appendString(dst, v.StringValue)
	case *common.AnyValue_BoolValue:
		return strconv.AppendBool(dst, v.BoolValue)
	case *common.AnyValue_IntValue:
		return strconv.AppendInt(dst, v.IntValue, 10)
	case *common.AnyValue_DoubleValue:
		if math.IsNaN(v.DoubleValue) || math.IsInf(v.DoubleValue, 0) {
			return appendString(dst, strconv.FormatFloat(v.DoubleValue, 'g', -1, 64))
		}
		return strconv.AppendFloat(dst, v.DoubleValue, 'g', -1, 64)
	case *common.AnyValue_BytesValue:
		return appendString(dst, base64.StdEncoding.EncodeToString(v.BytesValue))
	case *common.AnyValue_ArrayValue:
		dst = append(dst, '[')
		for i, e := range v.ArrayValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case *common.AnyValue_KvlistValue:
		dst = append(dst, '{')
		for i, e := range v.KvlistValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, e.GetKey()), ':')
			dst = appendJSON(dst, e.GetValue())
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func appendString(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // a string always has JSON
	}
	return append(dst, quoted...)
}
