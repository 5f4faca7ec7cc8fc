// The questions of observation.rs, for golang.org/x/sync/singleflight. Takes the name of a question and prints the
// name of the observation. A wait that can never end is detected by Go's runtime, which ends the process.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/singleflight"
)

var questions = map[string]func() string{
	"LeaderDropped": leaderDropped,
	"LeaderHeld":    leaderHeld,
	"Panic":         panics,
	"Error":         fails,
	"Forget":        forget,
	"AllGone":       allGone,
	"OwnKey":        ownKey,
}

func main() {
	// Catches a panic in a caller.
	defer func() {
		if recover() != nil {
			fmt.Println("PanicsInAll")
		}
	}()
	fmt.Println(questions[os.Args[1]]())
}

const key = "7"

var (
	errWork   = errors.New("the work fails")
	errPanics = errors.New("the work panics")
)

// A scene is the callers of one key. When DoChan returns, the caller has joined.
type scene struct {
	group singleflight.Group
	// Receives the channel that ends an execution, when it has begun.
	begun chan chan<- error
	// Receives the number of an execution, when it ends.
	ended  chan int
	number int
}

func newScene() *scene {
	return &scene{begun: make(chan chan<- error), ended: make(chan int, 8)}
}

func (s *scene) call() <-chan singleflight.Result {
	return s.group.DoChan(key, s.work)
}

// Ends with the error that it receives; nil makes it return its number as the value.
func (s *scene) work() (any, error) {
	// Executions reach this point one at a time.
	number := s.number
	s.number++
	end := make(chan error)
	s.begun <- end
	err := <-end
	s.ended <- number
	if err == errPanics {
		panic(err.Error())
	}
	return number, err
}

// A leader and two followers on execution 0.
func inFlight() (s *scene, end chan<- error, callers [3]<-chan singleflight.Result) {
	s = newScene()
	callers[0] = s.call()
	end = <-s.begun
	callers[1], callers[2] = s.call(), s.call()
	return s, end, callers
}

// Whether these callers get the value of this execution.
func get(number int, callers ...<-chan singleflight.Result) bool {
	for _, caller := range callers {
		if result := <-caller; result.Err != nil || result.Val != number {
			return false
		}
	}
	return true
}

// The observation, if the condition for it holds.
func observed(observation string, holds bool) string {
	if !holds {
		panic("not " + observation)
	}
	return observation
}

func leaderDropped() string {
	s, end, callers := inFlight()
	callers[0] = nil
	end <- nil
	return observed("FirstAnswer", get(0, callers[1:]...) && s.number == 1)
}

func leaderHeld() string {
	s, end, callers := inFlight()
	end <- nil
	followers := get(0, callers[1:]...)
	return observed("FollowersAnswered", followers && get(0, callers[0]) && s.number == 1)
}

func panics() string {
	_, end, callers := inFlight()
	end <- errPanics
	return fmt.Sprint(<-callers[0])
}

func fails() string {
	s, end, callers := inFlight()
	end <- errWork
	all := true
	for _, caller := range callers {
		result := <-caller
		all = all && result.Err == errWork
	}
	later := s.call()
	again := <-s.begun
	again <- nil
	return observed("OneError", all && get(1, later) && s.number == 2)
}

func forget() string {
	s, end, callers := inFlight()
	s.group.Forget(key)
	later := s.call()
	newEnd := <-s.begun
	end <- nil
	old := get(0, callers[:]...)
	// One more, after the old execution has landed and while the new one is in flight.
	latecomer := s.call()
	newEnd <- nil
	return observed("Apart", old && get(1, later, latecomer) && s.number == 2)
}

// A caller leaves by not receiving any more, which the group cannot notice.
func allGone() string {
	s, end, _ := inFlight()
	end <- nil
	return observed("RunsOn", <-s.ended == 0)
}

func ownKey() string {
	s := newScene()
	result := <-s.group.DoChan(key, func() (any, error) {
		return (<-s.call()).Val, nil
	})
	return fmt.Sprint(result)
}
