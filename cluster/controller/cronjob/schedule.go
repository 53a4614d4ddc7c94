package cronjob

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batch "k8s.io/api/batch/v1"
)

const (
	// manyMissed is the number of missed starts beyond which an event is recorded.
	manyMissed = 100
	// maxSteps bounds the search for the last start of a schedule with uneven intervals.
	maxSteps = 10000
	// margin keeps a requeue from being a moment too early.
	margin = 100 * time.Millisecond
)

// namesZone reports whether the schedule has a time zone in itself, as objects from before
// timeZone may have.
func namesZone(cj *batch.CronJob) bool { return strings.Contains(cj.Spec.Schedule, "TZ") }

// parse parses the schedule, in the CronJob's time zone.
func parse(cj *batch.CronJob) (cron.Schedule, error) {
	text := cj.Spec.Schedule
	if zone := cj.Spec.TimeZone; zone != nil && !namesZone(cj) {
		text = fmt.Sprintf("TZ=%s %s", *zone, text)
	}
	return cron.ParseStandard(text)
}

// starts are the scheduled times up to now.
type starts struct {
	due    *time.Time // the last time without a start
	missed int        // how many there are, due included; an estimate
}

// startsBy returns the scheduled times since the last start, or since the creation. Those
// before the starting deadline are left out.
func startsBy(cj *batch.CronJob, schedule cron.Schedule, now time.Time, withDeadline bool) (since time.Time, s starts, err error) {
	since = cj.CreationTimestamp.Time
	if last := cj.Status.LastScheduleTime; last != nil {
		since = last.Time
	}
	if limit := cj.Spec.StartingDeadlineSeconds; withDeadline && limit != nil {
		if earliest := now.Add(-time.Duration(*limit) * time.Second); earliest.After(since) {
			since = earliest
		}
	}
	first := schedule.Next(since)
	if first.IsZero() {
		return since, s, errors.New("the schedule never comes")
	}
	if now.Before(first) {
		return since, s, nil
	}
	second := schedule.Next(first)
	if now.Before(second) {
		return since, starts{&first, 1}, nil
	}
	every := second.Sub(first).Round(time.Second)
	if every < time.Second {
		return since, s, errors.New("time difference between two schedules is less than 1 second")
	}
	// Not one by one: there may be years of them. The schedule itself is evaluated from two
	// intervals before now, for intervals need not be equal.
	s.missed = int(now.Sub(first)/every) + 1
	from := first.Add(time.Duration(s.missed-2) * every)
	if from.Before(first) {
		from = first
	}
	s.due = &first
	if t := schedule.Next(from); t.IsZero() || t.After(now) {
		from = first
	}
	for t, n := schedule.Next(from), 0; !t.IsZero() && !t.After(now) && n < maxSteps; t, n = schedule.Next(t), n+1 {
		s.due = &t
	}
	return since, s, nil
}

// untilNext returns how long it is until the next start.
func untilNext(cj *batch.CronJob, schedule cron.Schedule, now time.Time) time.Duration {
	from, s, err := startsBy(cj, schedule, now, false)
	switch {
	case err != nil:
		from = now
	case s.due != nil:
		from = *s.due
	}
	next := schedule.Next(from)
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(now), 0) + margin
}

// jobName is derived from the time, so that one start never creates two Jobs. Upstream uses
// the minute; a schedule of seconds needs the second.
func jobName(cj *batch.CronJob, at time.Time, schedule cron.Schedule) string {
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		return fmt.Sprintf("%s-%d", cj.Name, at.Unix())
	}
	return fmt.Sprintf("%s-%d", cj.Name, at.Unix()/60)
}
