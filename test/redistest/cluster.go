package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// Cluster is a Redis Cluster of masters that share the slots evenly.
type Cluster struct {
	Nodes    []*Server
	Password string
}

const slots = 16384

// StartCluster starts n masters and waits until they are a cluster.
func StartCluster(ctx context.Context, n int) (*Cluster, error) {
	c := &Cluster{}
	for range n {
		s, err := Start(ctx, Options{cluster: true})
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.Nodes, c.Password = append(c.Nodes, s), s.Password
	}
	if err := c.join(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) join(ctx context.Context) error {
	for i, s := range c.Nodes {
		client := s.Client()
		defer func() { _ = client.Close() }()
		first, last := i*slots/len(c.Nodes), (i+1)*slots/len(c.Nodes)-1
		err := errors.Join(
			client.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", first, last).Err(),
			client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(),
			client.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", c.Nodes[0].Port, c.Nodes[0].busPort).Err())
		if err != nil {
			return err
		}
	}
	return c.Wait(ctx)
}

// Wait waits until every node says that the cluster is whole.
func (c *Cluster) Wait(ctx context.Context) error {
	for _, s := range c.Nodes {
		client := s.Client()
		defer func() { _ = client.Close() }()
		err := process.Poll(ctx, func(ctx context.Context) (bool, error) {
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") ||
				!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Nodes)))) {
				err = errors.New("the cluster is not ready")
			}
			return false, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Addrs are the host:port of the nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, s := range c.Nodes {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// Client connects as the default user.
func (c *Cluster) Client() *redis.ClusterClient {
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs(), Password: c.Password, Protocol: 2, DisableIdentity: true,
		DisableRoutingPolicies: true})
}

// Stop stops the nodes and removes their folders.
func (c *Cluster) Stop() error {
	var errs []error
	for _, s := range c.Nodes {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}
