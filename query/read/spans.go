package read

import "time"

// spans cut a range into the times that are looked through one after the
// other, each eight times as long as the one before. The engine reads what
// orders the rows of all that it is asked for, however soon there are enough of
// them: it is worth to ask for the nearest ones first. from is where to read
// on, nil for the beginning; first is the length of the first span.
func spans(r Range, from *int64, oldestFirst bool, first time.Duration, now time.Time) []Range {
	since, until := r.nanos()
	if oldestFirst && since == firstNS && from == nil {
		return []Range{r}
	}
	if from != nil && oldestFirst {
		since = max(since, *from)
	} else if from != nil && *from < lastNS {
		until = min(until, *from+1)
	}
	end := until // the end of all time, perhaps, but not counted from there
	if until == lastNS {
		until = max(since, nanos(now))
	}
	at := func(ns int64) time.Time {
		if ns == lastNS {
			return time.Time{} // no limit
		}
		return time.Unix(0, ns)
	}
	var list []Range
	for step := int64(first); until-since > step && len(list) < 3; step *= 8 {
		if oldestFirst {
			list = append(list, Range{at(since), at(since + step)})
			since += step
			continue
		}
		list = append(list, Range{at(until - step), at(end)})
		until -= step
		end = until
	}
	return append(list, Range{at(since), at(end)})
}
