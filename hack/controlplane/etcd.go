package main

import (
	"errors"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Sockets in the working directory: no port to race for, nobody else on the machine can connect, and the name stays
// short whatever the folder's path is (a unix socket's path may have 108 bytes).
const (
	etcdClientURL = "unix://etcd:2379"
	etcdPeerURL   = "unix://etcd:2380"
)

func startEtcd(limit time.Duration) (*embed.Etcd, error) {
	client, err := url.Parse(etcdClientURL)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(etcdPeerURL)
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Dir = "etcd"
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.EnableGRPCGateway = false
	cfg.LogLevel = "warn"
	cfg.LogOutputs = []string{"etcd.log"}
	// What this control plane holds is made again in seconds; waiting for the disk at every write is most of a test's time.
	cfg.UnsafeNoFsync = true

	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case err := <-server.Err():
		server.Close()
		return nil, err
	case <-time.After(limit):
		server.Close()
		return nil, errors.New("not ready in time")
	}
}
