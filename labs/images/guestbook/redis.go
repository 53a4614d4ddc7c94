package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// redis is the address of a Redis server.
type redis string

// patience bounds one command, the connection included.
const patience = 3 * time.Second

// largest bounds an answer, in bytes.
const largest = 1 << 20

// do sends one command on a connection of its own and returns the answer as text: "" for no value.
// The protocol is RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func (r redis) do(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", string(r))
	if err != nil {
		return "", fmt.Errorf("redis at %s: %w", r, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return "", fmt.Errorf("redis at %s: %w", r, err)
	}
	answer, err := read(bufio.NewReader(io.LimitReader(conn, largest)))
	if err != nil {
		return "", fmt.Errorf("redis at %s: %w", r, err)
	}
	return answer, nil
}

// read reads a simple string, an error, a number or a bulk string.
func read(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("an empty answer")
	}
	switch rest := line[1:]; line[0] {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$':
		size, err := strconv.Atoi(rest)
		if err != nil || size > largest {
			return "", fmt.Errorf("an answer of %s bytes", rest)
		}
		if size < 0 {
			return "", nil // there is no such key
		}
		text := make([]byte, size)
		_, err = io.ReadFull(from, text)
		return string(text), err
	}
	return "", fmt.Errorf("an answer of an unknown form: %q", line)
}
