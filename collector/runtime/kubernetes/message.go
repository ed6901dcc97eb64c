package kubernetes

import (
	"strconv"
	"strings"
	"time"
)

// pulled is what kubelet's event Pulled says
// (pkg/kubelet/images/image_manager.go, in all its forms since 1.18).
type pulled struct {
	image   string
	cached  bool          // it was there already
	pull    time.Duration // 0: not told
	waiting time.Duration // pull and the wait for other pulls; 0: not told
	size    int64         // bytes; 0: not told
}

// parsePulled reads
//
//	Successfully pulled image "IMG" [in 1.2s [(1.5s including waiting)]][. Image size: 12345 bytes.]
//	Container image "IMG" already present on machine[ and can be accessed by the pod]
func parsePulled(text string) (p pulled, ok bool) {
	text = stripPrefix(text)
	if rest, ok := strings.CutPrefix(text, "Container image "); ok {
		image, rest, ok := quoted(rest)
		return pulled{image: image, cached: true}, ok && strings.HasPrefix(rest, " already present on machine")
	}
	rest, ok := strings.CutPrefix(text, "Successfully pulled image ")
	if !ok {
		return pulled{}, false
	}
	if p.image, rest, ok = quoted(rest); !ok {
		return pulled{}, false
	}
	if after, ok := strings.CutPrefix(rest, " in "); ok {
		p.pull, rest = duration(after)
		if after, ok := strings.CutPrefix(rest, " ("); ok {
			var tail string
			if p.waiting, tail = duration(after); strings.HasPrefix(tail, " including waiting)") {
				rest = strings.TrimPrefix(tail, " including waiting)")
			} else {
				p.waiting = 0
			}
		}
	}
	if _, after, ok := strings.Cut(rest, "Image size: "); ok {
		number, _, _ := strings.Cut(after, " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n > 0 {
			p.size = n
		}
	}
	return p, true
}

// stripPrefix takes away what kubectl or an aggregated event has put in front.
func stripPrefix(text string) string {
	if strings.HasPrefix(text, "spec.") {
		if _, rest, ok := strings.Cut(text, "}: "); ok {
			text = rest
		}
	}
	text = strings.TrimPrefix(text, "(combined from similar events): ")
	return strings.TrimSpace(text)
}

// quoted reads "IMG" and what is behind it.
func quoted(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, false
	}
	return strings.Cut(s[1:], `"`)
}

// maxPull is longer than kubelet waits for any pull.
const maxPull = 24 * time.Hour

// duration reads a Go duration up to a space, a parenthesis or a full stop at
// the end of a sentence; 0 if there is none.
func duration(s string) (time.Duration, string) {
	end := strings.IndexAny(s, " ()")
	if end < 0 {
		end = len(s)
	}
	text := s[:end]
	if strings.HasSuffix(text, ".") {
		text = text[:len(text)-1]
		end--
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxPull {
		d = 0
	}
	return d, s[end:]
}

// failure is what kubelet's events Failed, BackOff and ErrImageNeverPull say.
type failure struct {
	pull    bool // it is about the image; else about the container
	backOff bool // it is about the wait, not about another try
	text    string
}

// parseFailure reads
//
//	Failed to pull image "IMG": ERR
//	Back-off pulling image "IMG"[: ERR]
//	Container image "IMG" is not present with pull policy of Never
//	Error: ERR
//
// False: it says nothing that another event does not say.
func parseFailure(text string) (failure, bool) {
	text = stripPrefix(text)
	if rest, ok := strings.CutPrefix(text, "Failed to pull image "); ok {
		_, after, ok := quoted(rest)
		return failure{pull: true, text: strings.TrimPrefix(after, ": ")}, ok
	}
	if strings.HasPrefix(text, "Back-off pulling image ") {
		return failure{pull: true, backOff: true, text: text}, true
	}
	if strings.HasSuffix(text, " is not present with pull policy of Never") {
		return failure{pull: true, text: text}, true
	}
	if rest, ok := strings.CutPrefix(text, "Failed to inspect image "); ok {
		return failure{pull: true, text: rest}, true
	}
	if rest, ok := strings.CutPrefix(text, "Failed to apply default image tag "); ok {
		return failure{pull: true, text: rest}, true
	}
	rest, ok := strings.CutPrefix(text, "Error: ")
	switch rest {
	case "", "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError":
		return failure{}, false
	}
	return failure{text: rest}, ok
}
