package features_test

import (
	"context"

	"github.com/cucumber/godog"
)

// registerSets gives the sentences about nodes that come and go.
func (p *platform) registerSets(sc *godog.ScenarioContext) {
	sc.Step(`^a third minion joins$`, func(ctx context.Context) error { return p.minions(ctx, "3") })
	sc.Step(`^the third minion leaves$`, func(ctx context.Context) error { return p.minions(ctx, "2") })
}

func (p *platform) minions(ctx context.Context, n string) error {
	_, err := p.cluster.run(ctx, "up", "--nodes", n)
	return err
}
