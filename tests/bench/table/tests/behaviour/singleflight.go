// The questions of seen.rs, put to golang.org/x/sync/singleflight. Takes the name of a question and
// prints the name of what is seen. Whoever waits for what never comes is told so by Go's runtime, which
// ends the process: there is nothing here that could still wake it.
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
	// Catches what comes out of a caller.
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

// A scene is the callers of one key. DoChan has a caller on the flight when it returns.
type scene struct {
	group singleflight.Group
	// Gets the end of each execution, when it has begun.
	begun chan chan<- error
	// Gets the number of each execution, when it ends.
	ended  chan int
	number int
}

func newScene() *scene {
	return &scene{begun: make(chan chan<- error), ended: make(chan int, 8)}
}

func (s *scene) call() <-chan singleflight.Result {
	return s.group.DoChan(key, s.work)
}

// Ends with what it is told: nil for its number as the value.
func (s *scene) work() (any, error) {
	// No two executions are before this point at once.
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
func underWay() (s *scene, end chan<- error, callers [3]<-chan singleflight.Result) {
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

// What is seen if all is as it should be.
func seen(word string, asItShouldBe bool) string {
	if !asItShouldBe {
		panic("not " + word)
	}
	return word
}

func leaderDropped() string {
	s, end, callers := underWay()
	callers[0] = nil
	end <- nil
	return seen("FirstAnswer", get(0, callers[1:]...) && s.number == 1)
}

func leaderHeld() string {
	s, end, callers := underWay()
	end <- nil
	followers := get(0, callers[1:]...)
	return seen("Answered", followers && get(0, callers[0]) && s.number == 1)
}

func panics() string {
	_, end, callers := underWay()
	end <- errPanics
	return fmt.Sprint(<-callers[0])
}

func fails() string {
	s, end, callers := underWay()
	end <- errWork
	told := true
	for _, caller := range callers {
		result := <-caller
		told = told && result.Err == errWork
	}
	newcomer := s.call()
	again := <-s.begun
	again <- nil
	return seen("OneError", told && get(1, newcomer) && s.number == 2)
}

func forget() string {
	s, end, callers := underWay()
	s.group.Forget(key)
	newcomer := s.call()
	newEnd := <-s.begun
	end <- nil
	old := get(0, callers[:]...)
	// One that comes after the old execution has landed, while the new one is under way.
	latecomer := s.call()
	newEnd <- nil
	return seen("Apart", old && get(1, newcomer, latecomer) && s.number == 2)
}

// A caller leaves by not receiving any more, which nobody sees.
func allGone() string {
	s, end, _ := underWay()
	end <- nil
	return seen("RunsOn", <-s.ended == 0)
}

func ownKey() string {
	s := newScene()
	result := <-s.group.DoChan(key, func() (any, error) {
		return (<-s.call()).Val, nil
	})
	return fmt.Sprint(result)
}
