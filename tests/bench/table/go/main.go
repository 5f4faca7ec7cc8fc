// The loads of the benchmark with golang.org/x/sync/singleflight. Reads requests, one per line, and prints a line
// of JSON for each; src/go.rs sends them. GOMAXPROCS is the number of workers.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

func main() {
	requests := bufio.NewScanner(os.Stdin)
	replies := json.NewEncoder(os.Stdout)
	for requests.Scan() {
		var load, pace string
		var a, b, c, d int
		var reply any
		line := requests.Text()
		fmt.Sscan(line, &load)
		switch load {
		case "uncontended":
			fmt.Sscan(line, &load, &a, &pace, &b)
			reply = uncontended(a, pace == "yields", b)
		case "crowd":
			fmt.Sscan(line, &load, &a, &b)
			reply = crowds(a, b)
		case "zipf":
			fmt.Sscan(line, &load, &a, &b, &c, &d)
			reply = zipf(a, b, c, d)
		}
		replies.Encode(reply)
	}
}

// An execution is what a call returns: the earliest time at which it was received.
type execution struct {
	firstReceipt atomic.Int64
}

// Keys are strings here, and are made before the clock starts.
func keys(from, until int) []string {
	names := make([]string, 0, until-from)
	for key := from; key < until; key++ {
		names = append(names, strconv.Itoa(key))
	}
	return names
}

type perCall struct {
	Nanos float64 `json:"nanos"`
}

func uncontended(callers int, yields bool, calls int) perCall {
	runtime.GOMAXPROCS(callers)
	var group singleflight.Group
	var took atomic.Int64
	var start, end sync.WaitGroup
	start.Add(callers)
	for caller := 0; caller < callers; caller++ {
		names := keys(caller*calls, (caller+1)*calls)
		end.Add(1)
		go func() {
			defer end.Done()
			value := new(execution)
			work := func() (any, error) {
				if yields {
					runtime.Gosched()
				}
				return value, nil
			}
			start.Done()
			start.Wait()
			started := time.Now()
			for _, name := range names {
				group.Do(name, work)
			}
			took.Add(int64(time.Since(started)))
		}()
	}
	end.Wait()
	return perCall{float64(took.Load()) / float64(callers*calls)}
}

type crowd struct {
	Nanos      float64 `json:"nanos"`
	Executions int64   `json:"executions"`
}

func crowds(callers, crowds int) crowd {
	runtime.GOMAXPROCS(1)
	var took time.Duration
	var most int64
	for n := 0; n < crowds; n++ {
		once, executions := oneCrowd(callers)
		// A goroutine that has begun may have been preempted before it joined, and then starts an execution
		// of its own: that is not one crowd.
		for try := 0; executions > 1 && try < 10; try++ {
			once, executions = oneCrowd(callers)
		}
		took += once
		if executions > most {
			most = executions
		}
	}
	return crowd{float64(took) / float64(callers*crowds), most}
}

func oneCrowd(callers int) (time.Duration, int64) {
	var group singleflight.Group
	var begun, executions atomic.Int64
	var end sync.WaitGroup
	gate := make(chan struct{})
	values := make([]any, callers)
	work := func() (any, error) {
		executions.Add(1)
		<-gate
		return new(execution), nil
	}
	end.Add(callers)
	started := time.Now()
	for caller := 0; caller < callers; caller++ {
		caller := caller
		go func() {
			begun.Add(1)
			values[caller], _, _ = group.Do("0", work)
			end.Done()
		}()
	}
	for begun.Load() < int64(callers) {
		runtime.Gosched()
	}
	// Locks the group, after all callers that wait for its lock.
	group.Forget("unused")
	runtime.Gosched()
	close(gate)
	end.Wait()
	return time.Since(started), executions.Load()
}

type tally struct {
	CallsPerSecond float64 `json:"calls_per_second"`
	Executions     int64   `json:"executions"`
	Alive          int32   `json:"alive"`
	Late           int     `json:"late"`
	Refused        int     `json:"refused"`
	Calls          int     `json:"calls"`
}

// A receipt is a value that a call got, and when the call began.
type receipt struct {
	began int64
	value *execution
}

func zipf(workers, keyCount, callers, callsEach int) tally {
	runtime.GOMAXPROCS(workers)
	var group singleflight.Group
	var clock, executions atomic.Int64
	var mostAlive atomic.Int32
	var end sync.WaitGroup
	alive := make([]atomic.Int32, keyCount)
	names := keys(0, keyCount)
	law := newZipf(keyCount)
	receipts := make([][]receipt, callers)

	started := time.Now()
	end.Add(callers)
	for caller := 0; caller < callers; caller++ {
		caller := caller
		go func() {
			defer end.Done()
			rng := splitMix64(caller)
			got := make([]receipt, 0, callsEach)
			for n := 0; n < callsEach; n++ {
				key := law.draw(&rng)
				began := clock.Add(1)
				value, _, _ := group.Do(names[key], func() (any, error) {
					raise(&mostAlive, alive[key].Add(1))
					time.Sleep(time.Millisecond)
					alive[key].Add(-1)
					executions.Add(1)
					return new(execution), nil
				})
				received := value.(*execution)
				lower(&received.firstReceipt, clock.Add(1))
				got = append(got, receipt{began, received})
			}
			receipts[caller] = got
		}()
	}
	end.Wait()
	took := time.Since(started)

	late := 0
	for _, got := range receipts {
		for _, receipt := range got {
			if receipt.value.firstReceipt.Load() < receipt.began {
				late++
			}
		}
	}
	calls := callers * callsEach
	rate := float64(calls) / took.Seconds()
	return tally{rate, executions.Load(), mostAlive.Load(), late, 0, calls}
}

func raise(most *atomic.Int32, to int32) {
	for now := most.Load(); now < to && !most.CompareAndSwap(now, to); now = most.Load() {
	}
}

// Zero means not received yet: the clock starts at one.
func lower(first *atomic.Int64, to int64) {
	for now := first.Load(); (now == 0 || now > to) && !first.CompareAndSwap(now, to); now = first.Load() {
	}
}

// Keys by Zipf's law, as src/skew.rs draws them.
type zipfLaw []float64

func newZipf(keys int) zipfLaw {
	law := make(zipfLaw, keys)
	sum := 0.0
	for rank := range law {
		sum += 1 / float64(rank+1)
		law[rank] = sum
	}
	for rank := range law {
		law[rank] /= sum
	}
	return law
}

func (law zipfLaw) draw(rng *splitMix64) int {
	fraction := float64(rng.next()>>11) / (1 << 53)
	key := sort.Search(len(law), func(key int) bool { return law[key] > fraction })
	if key == len(law) {
		key--
	}
	return key
}

type splitMix64 uint64

func (rng *splitMix64) next() uint64 {
	*rng += 0x9e3779b97f4a7c15
	mixed := uint64(*rng)
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
	return mixed ^ (mixed >> 31)
}
