package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/apiserver/audit"
)

// auditFlags say what is written of requests, and where.
type auditFlags struct {
	policy string
	output audit.OutputConfig
}

func (a *auditFlags) register(f *pflag.FlagSet) {
	f.StringVar(&a.output.Path, "audit-log-path", "", "the file of the audit log, - for standard output; default: no audit log")
	f.StringVar(&a.policy, "audit-policy-file", "", "the audit Policy (default: writes, credentials and reads of users, without the content of Secrets, ConfigMaps and tokens)")
	f.IntVar(&a.output.MaxSize, "audit-log-maxsize", 100, "rotate the audit log at this size in megabytes")
	f.IntVar(&a.output.MaxBackups, "audit-log-maxbackup", 10, "maximum number of rotated audit logs; 0 keeps all")
	f.IntVar(&a.output.MaxAge, "audit-log-maxage", 0, "maximum age of rotated audit logs in days; 0 is no limit")
}

// start opens the log and writes it until stop, which flushes it. The log is nil if there is
// none.
func (a *auditFlags) start(log *slog.Logger) (l *audit.Log, stop func(), err error) {
	if a.output.Path == "" {
		if a.policy != "" {
			return nil, nil, errors.New("--audit-policy-file needs --audit-log-path, the file of the audit log")
		}
		return nil, func() {}, nil
	}
	log = log.With("component", "audit")
	policy, err := audit.LoadPolicy(a.policy)
	if err != nil {
		return nil, nil, err
	}
	out, err := a.output.Open()
	if err != nil {
		return nil, nil, err
	}
	l = audit.NewLog(policy, out, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	return l, func() {
		cancel()
		<-done
		if err := out.Close(); err != nil {
			log.Error("closing the audit log", "err", err)
		}
	}, nil
}
