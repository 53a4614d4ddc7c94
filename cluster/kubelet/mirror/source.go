package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Engine pulls images from their own registries, and loads archives.
type Engine interface {
	Reach(ctx context.Context, ref, auth string) error
	Pull(ctx context.Context, ref, auth string) error
	Load(ctx context.Context, archive io.Reader) error
}

// Source gets an image from the mirror, and from its own registry what the mirror does not have or cannot send.
type Source struct {
	Mirror *Mirror
	Engine Engine
}

// Reach checks that the mirror has the image, else that its own registry answers.
func (s Source) Reach(ctx context.Context, ref, auth string) error {
	if s.Mirror.Has(ctx, ref) == nil {
		return nil
	}
	return s.Engine.Reach(ctx, ref, auth)
}

// Pull gets the image under its name. auth is for its own registry alone.
func (s Source) Pull(ctx context.Context, ref, auth string) error {
	mirrored := s.Mirror.Fetch(ctx, ref, s.Engine.Load)
	if mirrored == nil {
		return nil
	}
	err := s.Engine.Pull(ctx, ref, auth)
	if err != nil && !errors.Is(mirrored, ErrNotThere) {
		return fmt.Errorf("%w (and from the image mirror: %w)", err, mirrored)
	}
	return err
}
