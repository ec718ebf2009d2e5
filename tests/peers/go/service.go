package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// serve serves one runner, which says by verbs what it wants.
func serve() error {
	fmt.Println("leader", os.Getenv("LEADER_URL"))
	listener, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		return err
	}
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	listener.Close()
	greeting := make([]byte, 3)
	if _, err := io.ReadFull(connection, greeting); err != nil || string(greeting) != "SYN" {
		return fmt.Errorf("no runner: %q, %v", greeting, err)
	}
	if _, err := connection.Write([]byte("ACK")); err != nil {
		return err
	}
	for {
		var order []json.RawMessage
		err := recv(connection, &order)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = obey(connection, order)
		}
		if err != nil {
			return err
		}
	}
}

func obey(connection net.Conn, order []json.RawMessage) error {
	var verb string
	if err := json.Unmarshal(order[0], &verb); err != nil {
		return err
	}
	switch verb {
	case "divisors":
		return sendDivisors(connection)
	case "echo":
		for _, value := range order[1:] {
			if err := send(connection, value); err != nil {
				return err
			}
		}
		return nil
	case "who":
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		return send(connection, name)
	case "leader":
		answer, err := askLeader()
		if err != nil {
			return err
		}
		return send(connection, answer)
	case "half", "exit", "die":
		return end(connection, verb, order[1:])
	}
	return fmt.Errorf("what is %q?", verb)
}

func sendDivisors(connection net.Conn) error {
	var n, a, b int
	for _, value := range []*int{&n, &a, &b} {
		if err := recv(connection, value); err != nil {
			return err
		}
	}
	divisors := []int{}
	for i := a; i < b; i++ {
		if n%i == 0 {
			divisors = append(divisors, i)
		}
	}
	return send(connection, divisors)
}

// askLeader does what the original's services begin with.
func askLeader() (string, error) {
	response, err := http.Get(strings.Replace(os.Getenv("LEADER_URL"), "tcp:", "http:", 1) + "/_ping")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// end ends the process in the way that it is told.
func end(connection net.Conn, verb string, arguments []json.RawMessage) error {
	if verb == "half" {
		fmt.Println("half a message")
		if _, err := connection.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x64\"too litt")); err != nil {
			return err
		}
	} else {
		fmt.Println("last words")
	}
	if verb == "die" {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	var code int
	if err := json.Unmarshal(arguments[0], &code); err != nil {
		return err
	}
	os.Exit(code)
	return nil
}
