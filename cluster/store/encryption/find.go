package encryption

import (
	"bytes"
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// findPage is how many values Find reads at once: they may have megabytes.
	findPage = 100
	// findTimeout is the time for one page.
	findTimeout = 30 * time.Second
)

// Find returns the key of a value in etcd that is encrypted, "" if none is.
func Find(ctx context.Context, client *clientv3.Client) (string, error) {
	const prefix = "/registry/"
	end := clientv3.GetPrefixRangeEnd(prefix)
	for start := prefix; ; {
		page, err := getPage(ctx, client, start, end)
		if err != nil {
			return "", fmt.Errorf("looking for encrypted values in etcd: %w", err)
		}
		for _, kv := range page.Kvs {
			if bytes.HasPrefix(kv.Value, []byte(marker)) {
				return string(kv.Key), nil
			}
		}
		if !page.More {
			return "", nil
		}
		start = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

func getPage(ctx context.Context, client *clientv3.Client, start, end string) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	return client.Get(ctx, start, clientv3.WithRange(end), clientv3.WithLimit(findPage))
}
