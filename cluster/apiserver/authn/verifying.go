package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"runtime"
	"time"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// Verifying a credential for the first time costs more than most requests, and every client
// can cause it. So half of the processors do so at most, for all addresses in turn; verified
// credentials are cached and do not wait.
func newVerifying() *flowcontrol.Level {
	seats := max(1, runtime.NumCPU()/2)
	const waiting = 100 // for each address
	c := flowcontrol.LevelConfig{Name: "authentication", Seats: seats, FlowSeats: seats, QueueLength: waiting, QueueWait: 5 * time.Second}
	c.Limits[flowcontrol.Requests] = flowcontrol.Limit{PerFlow: waiting + seats, Total: 10 * waiting}
	return flowcontrol.NewLevel(c)
}

// acquireVerification waits for the turn of a client's address; done ends it.
func (a *Authenticator) acquireVerification(ctx context.Context, source string) (done func(), err error) {
	t := &flowcontrol.Ticket{}
	if err = a.verifying.AcquireSlot(t, source, flowcontrol.Requests); err == nil {
		err = t.Acquire(ctx, 1)
	}
	if err == nil {
		return t.ReleaseSlot, nil
	}
	t.ReleaseSlot()
	var rejected *flowcontrol.Rejected
	if errors.As(err, &rejected) {
		err = apistatus.TooManyRequests()
	}
	return nil, err
}

// seen reports whether a token was verified before.
func (t *Tokens) seen(token string) bool {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[sum] != nil
}
