package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

const tailLines = 20

// logFile takes what etcd and kube-apiserver write to standard error, so that the terminal shows only what matters.
type logFile struct {
	file     *os.File
	terminal *os.File
}

func redirectLogs(dir string) (*logFile, error) {
	file, err := os.OpenFile(filepath.Join(dir, "controlplane.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	logs := &logFile{file: file, terminal: os.Stderr}
	os.Stderr = file
	return logs, nil
}

func (l *logFile) say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// close gives standard error back and, after a failure, shows the end of the log, which may be about to be removed.
func (l *logFile) close(failure error) {
	os.Stderr = l.terminal
	if failure != nil {
		content, _ := os.ReadFile(l.file.Name())
		lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		if len(lines) > tailLines {
			lines = lines[len(lines)-tailLines:]
		}
		fmt.Fprintf(os.Stderr, "%s\n", bytes.Join(lines, []byte("\n")))
	}
	_ = l.file.Close()
}
