package etcd

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo is a logger for etcd that passes warnings and worse on to log (nil: to nobody). What
// etcd takes for its end goes to fatal, which etcd would answer with the end of the process.
func zapTo(log *slog.Logger, fatal zapcore.CheckWriteHook) *zap.Logger {
	core := zapcore.NewNopCore()
	if log != nil {
		core = &bridge{handler: log.Handler()}
	}
	if fatal == nil {
		return zap.New(core)
	}
	return zap.New(core, zap.WithFatalHook(fatal), zap.WithPanicHook(fatal))
}

// bridge is a zapcore.Core over a slog.Handler.
type bridge struct{ handler slog.Handler }

func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && b.handler.Enabled(context.Background(), level(l))
}

func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{handler: b.handler.WithAttrs(attrs(fields))}
}

// early are the warnings of a member that has not yet committed its first batch, for a
// second after its very first start. The member retries.
var early = map[string]bool{
	"Failed to detect schema version":  true,
	"failed to update storage version": true,
}

func (b *bridge) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) && !early[e.Message] {
		return checked.AddCore(e, b)
	}
	return checked
}

func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, level(e.Level), "etcd: "+e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return b.handler.Handle(context.Background(), r)
}

func (b *bridge) Sync() error { return nil }

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]slog.Attr, 0, len(enc.Fields))
	for key, value := range enc.Fields {
		out = append(out, slog.Any(key, value))
	}
	return out
}
