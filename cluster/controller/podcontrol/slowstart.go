package podcontrol

import "sync"

// parallel bounds how many writes for one owner are in flight. The API server commits
// concurrent writes in one transaction, so many are not more work.
const parallel = 250

// SlowStart calls f(0) .. f(n-1) in batches of 1, 4, 16, ... and stops after the first batch
// with an error: when every create fails (a quota, an invalid template), the server
// gets a few requests and not n. It returns how many calls succeeded.
func SlowStart(n int, f func(i int) error) (succeeded int, err error) {
	for started, batch := 0, 1; started < n; batch *= 4 {
		batch = min(batch, n-started)
		good, err := Together(batch, func(i int) error { return f(started + i) })
		succeeded += good
		started += batch
		if err != nil {
			return succeeded, err
		}
	}
	return succeeded, nil
}

// Together calls f(0) .. f(n-1) concurrently, and returns how many succeeded and the first error.
func Together(n int, f func(i int) error) (succeeded int, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			e := f(i)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			switch {
			case e == nil:
				succeeded++
			case err == nil:
				err = e
			}
		})
	}
	wg.Wait()
	return succeeded, err
}
