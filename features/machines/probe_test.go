//go:build machines

package machines

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain runs the tests; in the network of a machine or a pod, this program is what sends and receives there.
func TestMain(m *testing.M) {
	switch role, at, _ := strings.Cut(os.Getenv("WHEELHOUSE_TEST_ROLE"), " "); role {
	case "probe":
		probe(at)
	case "clock":
		for range time.Tick(10 * time.Millisecond) {
			fmt.Println(time.Now().Unix())
		}
	case "receive":
		receive(at)
	case "send":
		send(at)
	default:
		os.Exit(m.Run())
	}
}

// as is the command that plays a role in a network namespace, a file.
func as(netns, role string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err) // there is no /proc
	}
	return []string{"env", "WHEELHOUSE_TEST_ROLE=" + role, "nsenter", "--net=" + netns, self}
}

// probeEvery is often enough to tell tenths of a second, and what busybox's httpd, which starts a process for each, answers also on a
// busy computer.
const probeEvery = 50 * time.Millisecond

// probe connects to an address each probeEvery, and prints for each connection when it began and who answered.
func probe(at string) {
	for range time.Tick(probeEvery) {
		go func() {
			began := time.Now()
			who, err := askWho(at)
			if err != nil {
				who = "nobody"
			}
			fmt.Printf("%d %s\n", began.UnixNano(), who)
		}()
	}
}

func askWho(at string) (string, error) {
	conn, err := net.DialTimeout("tcp", at, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // an error shows in what follows
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	lines := strings.Fields(string(answer))
	if err != nil || len(lines) == 0 || !strings.Contains(string(answer), " 200 ") {
		return "", fmt.Errorf("answer %q: %w", answer, err)
	}
	return lines[len(lines)-1], nil
}

// receive accepts connections: what comes in on one that begins with E is sent back, else dropped.
func receive(at string) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		panic(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 1<<20)
			if first, err := in.ReadByte(); err == nil && first == 'E' {
				_, _ = io.Copy(conn, in) // until the other end closes
				return
			}
			_, _ = io.Copy(io.Discard, in) // likewise
		}()
	}
}

// How long send sends, and how many bytes it sends there and back one after the other.
const (
	sendFor = 3 * time.Second
	echoes  = 2000
)

// send prints the throughput in MB/s of one connection, and the median and 99th percentile of the way there and back in µs.
func send(at string) {
	dial := func(kind string) net.Conn {
		for began := time.Now(); ; time.Sleep(probeEvery) { // the receiver and the service's rules may have just begun
			conn, err := net.DialTimeout("tcp", at, time.Second)
			if err == nil {
				if _, err = io.WriteString(conn, kind); err == nil {
					return conn
				}
			}
			if time.Since(began) > time.Minute {
				panic(err)
			}
		}
	}
	sink, block, sent := dial("S"), make([]byte, 1<<18), 0
	began := time.Now()
	for time.Since(began) < sendFor {
		n, err := sink.Write(block)
		if err != nil {
			panic(err)
		}
		sent += n
	}
	rate := float64(sent) / 1e6 / time.Since(began).Seconds()
	_ = sink.Close()
	echo, one, took := dial("E"), make([]byte, 1), []float64(nil)
	for range echoes {
		began := time.Now()
		if _, err := echo.Write(one); err != nil {
			panic(err)
		}
		if _, err := io.ReadFull(echo, one); err != nil {
			panic(err)
		}
		took = append(took, float64(time.Since(began).Microseconds()))
	}
	slices.Sort(took)
	fmt.Printf("%.0f %.0f %.0f\n", rate, took[len(took)/2], took[len(took)*99/100])
}
