package main

import (
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

func TestControlTellsTheFirstProcess(t *testing.T) {
	var told []int
	kill := func(pid int, signal syscall.Signal) error {
		told = append(told, pid, int(signal))
		return nil
	}
	if err := control([]string{"graceful-stop"}, kill); err != nil || len(told) != 2 || told[0] != 1 || told[1] != int(syscall.SIGWINCH) {
		t.Errorf("%v %v", told, err)
	}
	for _, words := range [][]string{nil, {"restart"}, {"graceful-stop", "now"}} {
		if err := control(words, kill); err == nil {
			t.Errorf("%q: no error", words)
		}
	}
}

func TestPages(t *testing.T) {
	for path, want := range map[string]string{"/": "It works!", "/register/": "registered"} {
		w := httptest.NewRecorder()
		pages().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
