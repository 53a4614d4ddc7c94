package etcd

// WithQuota is a configuration with which etcd raises its alarm, as an earlier version's did.
func WithQuota(c Config, quota int64) Config {
	c.etcdQuota = quota
	return c
}
