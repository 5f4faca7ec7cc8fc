// Package export_oneflight_client_items is a client of Oneflight: one request for each call. Sharing, limits and
// deadlines are the host's.
package export_oneflight_client_items

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/oneflight_client_fetch"
	"wit_component/oneflight_client_items"
)

type (
	Item  = oneflight_client_items.Item
	Error = oneflight_client_items.Error
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

func GetItems(x string) wit.Result[[]Item, Error] {
	items, err := getItems(x)
	if err != nil {
		return wit.Err[[]Item](*err)
	}
	return wit.Ok[[]Item, Error](items)
}

func getItems(key string) ([]Item, *Error) {
	base, isSet := os.LookupEnv("BASE_URL")
	if !isSet {
		return nil, fail(oneflight_client_items.MakeErrorOther("expected the setting BASE_URL, got none"))
	}
	segment, err := pathSegment(key)
	if err != nil {
		return nil, err
	}
	response, err := get(strings.TrimRight(base, "/") + "/" + segment)
	if err != nil {
		return nil, err
	}
	switch response.Status {
	case 200:
		return itemsOf(response.Body)
	case 204:
		return nil, nil
	case 404:
		return nil, fail(oneflight_client_items.MakeErrorNotFound())
	case 429:
		// Without a number of seconds, callers get the Retry-After of the response.
		return nil, fail(oneflight_client_items.MakeErrorRateLimited(wit.None[uint32]()))
	default:
		return nil, fail(oneflight_client_items.MakeErrorUpstreamStatus(response.Status))
	}
}

func fail(err Error) *Error { return &err }

func malformed(format string, values ...any) *Error {
	return fail(oneflight_client_items.MakeErrorUpstreamMalformed(fmt.Sprintf(format, values...)))
}

// pathSegment returns the key as one segment of a path. Without encoding, a key could choose another path or add
// parameters, and even encoded, a segment of dots means another folder.
func pathSegment(key string) (string, *Error) {
	if key == "" || key == "." || key == ".." {
		why := fmt.Sprintf("expected a key that can be a segment of a path, got %q", key)
		return "", fail(oneflight_client_items.MakeErrorInvalidKey(why))
	}
	return url.PathEscape(key), nil
}

func get(url string) (oneflight_client_fetch.Response, *Error) {
	result := oneflight_client_fetch.Fetch(oneflight_client_fetch.Request{
		Method:  "GET",
		Url:     url,
		Headers: []wit.Tuple2[string, string]{{F0: "accept", F1: "application/json"}},
		Body:    wit.None[oneflight_client_fetch.Body](),
	})
	if result.IsOk() {
		response := result.Ok()
		if response.Body.Tag() == oneflight_client_fetch.BodyText {
			// The text, and about as much for each of two copies.
			collect(3 * len(response.Body.Text()))
		}
		return response, nil
	}
	return oneflight_client_fetch.Response{}, fail(itemsError(result.Err()))
}

// itemsError returns the error of items for one of fetch.
func itemsError(err oneflight_client_fetch.FetchError) Error {
	switch err.Tag() {
	case oneflight_client_fetch.FetchErrorDenied:
		return oneflight_client_items.MakeErrorDenied(err.Denied())
	case oneflight_client_fetch.FetchErrorMalformed:
		return oneflight_client_items.MakeErrorUpstreamMalformed(err.Malformed())
	case oneflight_client_fetch.FetchErrorInvalidRequest:
		return oneflight_client_items.MakeErrorOther(err.InvalidRequest())
	case oneflight_client_fetch.FetchErrorTimeout:
		return oneflight_client_items.MakeErrorUpstreamUnavailable(err.Timeout())
	case oneflight_client_fetch.FetchErrorResponseTooLarge:
		return oneflight_client_items.MakeErrorUpstreamUnavailable(err.ResponseTooLarge())
	default:
		return oneflight_client_items.MakeErrorUpstreamUnavailable(err.Unavailable())
	}
}

func itemsOf(body oneflight_client_fetch.Body) ([]Item, *Error) {
	if body.Tag() != oneflight_client_fetch.BodyText {
		return nil, malformed("expected UTF-8")
	}
	// A byte-order mark is no part of JSON, but some servers send it.
	text := strings.TrimPrefix(body.Text(), "\ufeff")
	var elements []json.RawMessage
	if err := json.Unmarshal([]byte(text), &elements); err != nil {
		return nil, malformed("%v", err)
	}
	if elements == nil {
		return nil, malformed("expected an array, got null")
	}
	items := make([]Item, len(elements))
	for i, element := range elements {
		id, err := idOf(element)
		if err != nil {
			return nil, err
		}
		// The element unchanged, with the digits and the spaces that it has.
		items[i] = Item{Id: id, Body: string(element)}
	}
	return items, nil
}

func idOf(element json.RawMessage) (string, *Error) {
	var object struct {
		Id json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(element, &object); err != nil {
		return "", malformed("%v", err)
	}
	var text string
	if json.Unmarshal(object.Id, &text) == nil && string(object.Id) != "null" {
		return text, nil
	}
	if _, err := strconv.ParseInt(string(object.Id), 10, 64); err == nil {
		return string(object.Id), nil
	}
	return "", malformed("expected items with an id that is a string or an integer")
}
