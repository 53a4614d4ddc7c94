package main

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for name, c := range map[string]struct{ in, want, err string }{
		"simple":  {in: "+OK\r\n", want: "OK"},
		"number":  {in: ":17\r\n", want: "17"},
		"bulk":    {in: "$7\r\n,a\r\n,bc\r\n", want: ",a\r\n,bc"},
		"empty":   {in: "$0\r\n\r\n"},
		"no key":  {in: "$-1\r\n"},
		"refusal": {in: "-READONLY You can't write against a read only replica.\r\n", err: "READONLY"},
		"short":   {in: "$9\r\nabc", err: "unexpected EOF"},
		"huge":    {in: "$99999999999\r\n", err: "an answer of 99999999999 bytes"},
		"other":   {in: "*1\r\n", err: "unknown form"},
		"nothing": {in: "\r\n", err: "empty"},
		"closed":  {in: "", err: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(bufio.NewReader(strings.NewReader(c.in)))
			if got != c.want && c.err == "" || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}

// A command is sent as an array of bulk strings.
func TestDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := "*2\r\n$3\r\nGET\r\n$8\r\nmessages\r\n"
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b := make([]byte, len(want))
		n, _ := conn.Read(b)
		got <- string(b[:n])
		_, _ = conn.Write([]byte("$2\r\nhi\r\n"))
	}()
	answer, err := redis(l.Addr().String()).do(t.Context(), "GET", "messages")
	if err != nil || answer != "hi" {
		t.Errorf("%q, %v", answer, err)
	}
	if sent := <-got; sent != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}
