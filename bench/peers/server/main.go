// The server that the peers are measured against: answers each message with "re: " and the message, by
// gorilla/websocket. It keeps no state beyond counters and leaves out everything a bot would do.
//
//	server -mode echo|refuse|reset|stall [-think 1s]
//
// The first line on standard output is the port. GET /stats on the same port gives the counters as JSON. It ends when
// standard input does.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// Of the mode `refuse`: a fixed window.
	refuseWindow = 3 * time.Second
	refuseQuota  = 20
	// Of the mode `reset`: how long after its answer a connection is reset.
	resetAfter = time.Second
	// Of the mode `stall`: from when to when after the first upgrade no message is answered.
	stallFrom = 4 * time.Second
	stallTo   = 6 * time.Second
)

type stats struct {
	Open     int64 `json:"open"`
	Peak     int64 `json:"peak"`
	Upgrades int64 `json:"upgrades"`
	Refused  int64 `json:"refused"`
	Resets   int64 `json:"resets"`
	Answered int64 `json:"answered"`
	// Closed with a Close frame, and without one.
	Closed  int64 `json:"closed"`
	Dropped int64 `json:"dropped"`
	// How much later than the think time after our answer the next message came, in microseconds.
	Late []int64 `json:"late,omitempty"`
}

var (
	mode  = flag.String("mode", "echo", "echo, refuse, reset or stall")
	think = flag.Duration("think", 0, "collect how late messages come after this think time")

	open, peak, upgrades, refused, resets, answered, closed, dropped atomic.Int64

	first     sync.Once
	firstAt   atomic.Int64
	gateMutex sync.Mutex
	gateFrom  time.Time
	gateUsed  int

	lateMutex sync.Mutex
	late      []int64

	upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
)

func main() {
	flag.Parse()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		os.Exit(0)
	}()
	http.HandleFunc("/stats", report)
	http.HandleFunc("/", serve)
	log.Fatal(http.Serve(listener, nil))
}

func report(w http.ResponseWriter, _ *http.Request) {
	s := stats{
		Open: open.Load(), Peak: peak.Load(), Upgrades: upgrades.Load(), Refused: refused.Load(),
		Resets: resets.Load(), Answered: answered.Load(), Closed: closed.Load(), Dropped: dropped.Load(),
	}
	lateMutex.Lock()
	if n := len(late); n > 0 {
		sorted := slices.Clone(late)
		slices.Sort(sorted)
		at := func(q float64) int64 { return sorted[min(n-1, int(q*float64(n)))] }
		s.Late = []int64{int64(n), at(0.5), at(0.95), at(0.99), sorted[n-1]}
	}
	lateMutex.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

func serve(w http.ResponseWriter, r *http.Request) {
	if *mode == "refuse" {
		if wait := gate(time.Now()); wait > 0 {
			refused.Add(1)
			w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)+1))
			http.Error(w, "too many connections", http.StatusTooManyRequests)
			return
		}
	}
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	first.Do(func() { firstAt.Store(time.Now().UnixNano()) })
	upgrades.Add(1)
	now := open.Add(1)
	for before := peak.Load(); now > before && !peak.CompareAndSwap(before, now); before = peak.Load() {
	}
	converse(connection)
	open.Add(-1)
	_ = connection.Close()
}

// How long an upgrade has to wait; none where it may go.
func gate(now time.Time) time.Duration {
	gateMutex.Lock()
	defer gateMutex.Unlock()
	if now.Sub(gateFrom) >= refuseWindow {
		gateFrom, gateUsed = now, 0
	}
	if gateUsed < refuseQuota {
		gateUsed++
		return 0
	}
	return gateFrom.Add(refuseWindow).Sub(now)
}

func converse(connection *websocket.Conn) {
	var answeredAt time.Time
	for {
		kind, message, err := connection.ReadMessage()
		if err != nil {
			if _, orderly := err.(*websocket.CloseError); orderly {
				closed.Add(1)
			} else {
				dropped.Add(1)
			}
			return
		}
		if *think > 0 && !answeredAt.IsZero() {
			lateMutex.Lock()
			late = append(late, (time.Since(answeredAt) - *think).Microseconds())
			lateMutex.Unlock()
		}
		if *mode == "stall" {
			begin := time.Unix(0, firstAt.Load())
			if since := time.Since(begin); since >= stallFrom && since < stallTo {
				time.Sleep(stallTo - since)
			}
		}
		answer := make([]byte, 0, 4+len(message))
		answer = append(append(answer, "re: "...), message...)
		if connection.WriteMessage(kind, answer) != nil {
			dropped.Add(1)
			return
		}
		answered.Add(1)
		answeredAt = time.Now()
		if *mode == "reset" {
			time.Sleep(resetAfter)
			resets.Add(1)
			if tcp, ok := connection.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		}
	}
}
