package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	pause    = 500 * time.Millisecond // between two tries, as in the original
	patience = 60 * time.Second       // the original tries for ever
)

type object map[string]interface{}

// run starts P services of IMAGE, one after another, and has them find the divisors of N.
func run() error {
	n, _ := strconv.Atoi(os.Getenv("N"))
	p, _ := strconv.Atoi(os.Getenv("P"))
	var services []net.Conn
	for i := 0; i < p; i++ {
		name, err := start(os.Getenv("IMAGE"))
		if err != nil {
			return err
		}
		connection, err := connect(name)
		if err != nil {
			return err
		}
		defer connection.Close()
		services = append(services, connection)
	}
	for i, connection := range services {
		for _, value := range []int{n, 1 + n*i/p, 1 + n*(i+1)/p} {
			if err := send(connection, value); err != nil {
				return err
			}
		}
	}
	var divisors []int
	for _, connection := range services {
		var part []int
		if err := recv(connection, &part); err != nil {
			return err
		}
		divisors = append(divisors, part...)
	}
	answer, err := json.Marshal(divisors)
	fmt.Println(string(answer))
	return err
}

// start has a Swarm service made, as the original does, and gives its name, which Docker chooses.
func start(image string) (string, error) {
	container := object{"Image": image, "Env": []string{"LEADER_URL=" + os.Getenv("LEADER_URL")}}
	spec := object{
		"Labels":       object{os.Getenv("LABEL"): ""}, // for who removes it
		"EndpointSpec": object{"Mode": "dnsrr"},        // not the original's: virtual addresses need a kernel with IPVS
		"TaskTemplate": object{
			"ContainerSpec": container,
			"Networks":      []object{{"Target": "parcs"}},
			"RestartPolicy": object{"Condition": "none"},
		},
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if err := ask("POST", "/services/create", body, &made); err != nil {
		return "", err
	}
	var service struct{ Spec struct{ Name string } }
	err = ask("GET", "/services/"+made.ID, nil, &service)
	return service.Spec.Name, err
}

func ask(method, path string, body []byte, answer interface{}) error {
	leader := strings.Replace(os.Getenv("LEADER_URL"), "tcp:", "http:", 1)
	request, err := http.NewRequest(method, leader+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		said, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s %s: %s", method, path, said)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// connect tries until the service's name is known and it answers.
func connect(name string) (net.Conn, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		connection, err := net.DialTimeout("tcp4", net.JoinHostPort(name, port), pause)
		if err == nil {
			connection.SetDeadline(time.Now().Add(patience))
			return connection, greet(connection)
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}

func greet(connection net.Conn) error {
	if _, err := connection.Write([]byte("SYN")); err != nil {
		return err
	}
	answer := make([]byte, 3)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return err
	}
	if string(answer) != "ACK" {
		return fmt.Errorf("the service answered %q", answer)
	}
	return nil
}
