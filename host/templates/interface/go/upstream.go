// Package upstream sends requests to the upstream.
package upstream

import (
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"

	fetch "wit_component/oneflight_client_fetch"
)

// The host calls this component to allocate memory for what it passes in. If Go collected garbage then, it would read the
// clock, and a component that calls out at that moment crashes. So it collects between two calls of the host's.
func init() { debug.SetGCPercent(-1) }

// garbage is about the memory that was allocated since the last collection.
var garbage int

func collect(bytes int) {
	const limit = 4 << 20
	if garbage += bytes + 1<<10; garbage > limit {
		runtime.GC()
		garbage = 0
	}
}

// Failed says why there is no response.
type Failed struct{ fetch.FetchError }

func (failed *Failed) Error() string {
	err := failed.FetchError
	switch err.Tag() {
	case fetch.FetchErrorInvalidRequest:
		return "invalid-request: " + err.InvalidRequest()
	case fetch.FetchErrorDenied:
		return "denied: " + err.Denied()
	case fetch.FetchErrorTimeout:
		return "timeout: " + err.Timeout()
	case fetch.FetchErrorMalformed:
		return "malformed: " + err.Malformed()
	case fetch.FetchErrorResponseTooLarge:
		return "response-too-large: " + err.ResponseTooLarge()
	default:
		return "unavailable: " + err.Unavailable()
	}
}

// Get sends `GET BASE_URL/segment/...`, and returns the response with any status. An error is a *Failed.
func Get(segments ...any) (fetch.Response, error) {
	base, isSet := os.LookupEnv("BASE_URL")
	if !isSet {
		return fetch.Response{}, invalid("expected the setting BASE_URL, got none")
	}
	target := strings.TrimRight(base, "/")
	for _, segment := range segments {
		// Without encoding, an argument could choose another path or add parameters, and even encoded, a segment of dots
		// means another folder.
		text := fmt.Sprint(segment)
		if text == "" || text == "." || text == ".." {
			why := fmt.Sprintf("expected an argument that can be a segment of a path, got %q", text)
			return fetch.Response{}, invalid(why)
		}
		target += "/" + url.PathEscape(text)
	}
	result := fetch.Fetch(fetch.Request{
		Method:  "GET",
		Url:     target,
		Headers: []wit.Tuple2[string, string]{{F0: "accept", F1: "application/json"}},
		Body:    wit.None[fetch.Body](),
	})
	if result.IsErr() {
		return fetch.Response{}, &Failed{result.Err()}
	}
	response := result.Ok()
	if response.Body.Tag() == fetch.BodyText {
		// The text, and about as much for each of two copies.
		collect(3 * len(response.Body.Text()))
	}
	return response, nil
}

func invalid(why string) error { return &Failed{fetch.MakeFetchErrorInvalidRequest(why)} }

// Unfinished is what ends a call whose function is not written yet. Remove it when all of them are.
func Unfinished(name string, response fetch.Response, err error) string {
	got := fmt.Sprintf("a response with the status %d", response.Status)
	if err != nil {
		got = err.Error()
	}
	return fmt.Sprintf("%s is not written yet: expected an answer from it in client.go, its request got %s", name, got)
}
