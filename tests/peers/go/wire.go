package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
)

const port = "4444"

// send writes a message: an 8-byte big-endian length, then JSON.
func send(connection net.Conn, value interface{}) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := binary.Write(connection, binary.BigEndian, uint64(len(body))); err != nil {
		return err
	}
	_, err = connection.Write(body)
	return err
}

// recv reads a message; io.EOF if the peer has closed the connection before it.
func recv(connection net.Conn, value interface{}) error {
	var size uint64
	if err := binary.Read(connection, binary.BigEndian, &size); err != nil {
		return err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(connection, body); err != nil {
		return err
	}
	return json.Unmarshal(body, value)
}
