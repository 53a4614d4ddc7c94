package wait

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		err := Until(t.Context(), time.Minute, "three looks", func() error { looks++; return Seen(looks == 3, looks) })
		if err != nil || looks != 3 {
			t.Errorf("%d looks: %v", looks, err)
		}
		began := time.Now()
		looks = 0
		err = Until(t.Context(), time.Minute, "a file", func() error { looks++; return fs.ErrNotExist })
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "wanted a file; last seen after 1m0") {
			t.Errorf("%v", err)
		}
		if passed := time.Since(began); passed < time.Minute || passed > time.Minute+time.Second || looks < 600 || looks > 800 {
			t.Errorf("%d looks in %v", looks, passed)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Until(ctx, time.Minute, "the end", func() error { return Seen(false, "a ", 1) }); !strings.Contains(err.Error(), "after 1s: a 1") {
			t.Errorf("%v", err)
		}
	})
}
