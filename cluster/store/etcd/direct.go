package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// directKV is the KV of a member's client, which also takes transactions as they are sent. It counts what
// is written.
type directKV struct {
	clientv3.KV
	server pb.KVServer // with the checks of requests and of the quota that clients over a network get
	batch  *batch
}

// Transact implements store.Transactor. Errors are those of clientv3.
func (kv *directKV) Transact(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	for _, op := range r.Success {
		kv.batch.add(len(op.GetRequestPut().GetValue()))
	}
	resp, err := kv.server.Txn(ctx, r)
	return resp, clientv3.ContextError(ctx, err)
}

// Put implements clientv3.KV.
func (kv *directKV) Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	kv.batch.add(len(value))
	return kv.KV.Put(ctx, key, value, opts...)
}
