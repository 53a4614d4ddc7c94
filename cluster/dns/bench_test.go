package dns_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/dns"
)

const (
	benchServices  = 1000
	benchRate      = 5000 // questions a second, sent whether or not answers have come
	benchQuestions = 20000
	benchSockets   = 64
)

func benchObjects() []runtime.Object {
	objects := world()
	for i := range benchServices {
		objects = append(objects, service("default", fmt.Sprintf("svc-%d", i), []string{fmt.Sprintf("10.247.%d.%d", 1+i/250, i%250)}))
	}
	return objects
}

// BenchmarkDNS asks for names of services over UDP, from the same process: at a fixed rate, where the
// time of an answer counts from the moment the question was due, and as fast as answers come.
func BenchmarkDNS(b *testing.B) {
	at := startWith(b, dns.Config{}, benchObjects()...).String()
	b.Run("At5000", func(b *testing.B) {
		for range b.N {
			began := time.Now()
			report(b, at, func(i int) time.Time {
				due := began.Add(time.Duration(i) * time.Second / benchRate)
				time.Sleep(time.Until(due)) // the rate is the measure's subject
				return due
			})
		}
	})
	b.Run("Saturated", func(b *testing.B) {
		for range b.N {
			began := time.Now()
			report(b, at, func(int) time.Time { return time.Now() })
			b.ReportMetric(benchQuestions/time.Since(began).Seconds(), "questions/s")
		}
	})
}

// report asks all questions, each when start returns, and reports the times of answers.
func report(b *testing.B, at string, start func(i int) time.Time) {
	b.Helper()
	took := make([]time.Duration, benchQuestions)
	var next atomic.Int64
	var all sync.WaitGroup
	for range benchSockets {
		all.Go(func() {
			c, err := mdns.Dial("udp", at)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			for {
				i := int(next.Add(1)) - 1
				if i >= benchQuestions {
					return
				}
				req := new(mdns.Msg).SetQuestion(fmt.Sprintf("svc-%d.default.svc.cluster.local.", i%benchServices), mdns.TypeA)
				began := start(i)
				if err := c.WriteMsg(req); err != nil {
					b.Error(err)
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // fails only if c is closed
				if resp, err := c.ReadMsg(); err != nil || len(resp.Answer) != 1 {
					b.Errorf("question %d: %v, %v", i, resp, err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	ms := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
}
