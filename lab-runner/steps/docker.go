package steps

import (
	"context"
	"fmt"
	"strings"
)

// These look at the Docker that the learner's own commands speak to, by its client. They
// are for labs that say in lab.yaml that they need docker.

func (w *World) dockerImage(ctx context.Context, has, image string) error {
	return w.eventuallyDocker(ctx, has != "no", has+" image "+image+" in Docker", "docker images", "docker images -q "+quote(image))
}

func (w *World) dockerContainer(ctx context.Context, runs, image string) error {
	return w.eventuallyDocker(ctx, runs != "no", runs+" running container of "+image+" in Docker", "docker ps -a; docker logs CONTAINER",
		"docker ps -q --filter ancestor="+quote(image))
}

// eventuallyDocker waits until the command prints something, or nothing unless there.
func (w *World) eventuallyDocker(ctx context.Context, there bool, text, try, line string) error {
	return w.eventually(ctx, condition{
		text: text, try: try,
		probe: func(ctx context.Context) (string, bool, error) {
			out, status, err := w.command(ctx, line)
			out = strings.TrimSpace(out)
			if err != nil || status != 0 {
				return fmt.Sprintf("`%s` ends with exit status %d: %s", line, status, out), false, err
			}
			if out == "" {
				return "none", !there, nil
			}
			return out, there, nil
		},
	})
}
