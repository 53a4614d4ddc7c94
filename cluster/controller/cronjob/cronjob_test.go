package cronjob

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

func newCron(schedule, created string) *batch.CronJob {
	return &batch.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "tick", UID: "1", CreationTimestamp: metav1.NewTime(at(created))},
		Spec:       batch.CronJobSpec{Schedule: schedule},
	}
}

func TestStarts(t *testing.T) {
	tests := []struct {
		name                         string
		schedule, created, last, now string
		deadline                     int64
		due                          string
		missed                       int
		wait                         time.Duration
	}{
		{name: "not yet", schedule: "0 * * * *", created: "2026-03-01 10:10:00", now: "2026-03-01 10:59:59", wait: time.Second},
		{name: "now", schedule: "0 * * * *", created: "2026-03-01 10:10:00", now: "2026-03-01 11:00:00", due: "2026-03-01 11:00:00", missed: 1, wait: time.Hour},
		{name: "was started", schedule: "0 * * * *", created: "2026-03-01 10:10:00", last: "2026-03-01 11:00:00", now: "2026-03-01 11:00:10", wait: time.Hour - 10*time.Second},
		{name: "three missed: the last counts", schedule: "0 * * * *", created: "2026-03-01 10:10:00", now: "2026-03-01 13:20:00", due: "2026-03-01 13:00:00", missed: 3, wait: 40 * time.Minute},
		{name: "beyond the deadline", schedule: "0 * * * *", created: "2026-03-01 10:10:00", now: "2026-03-01 13:20:00", deadline: 600, wait: 40 * time.Minute},
		{name: "within the deadline", schedule: "0 * * * *", created: "2026-03-01 10:10:00", now: "2026-03-01 13:20:00", deadline: 1800, due: "2026-03-01 13:00:00", missed: 1, wait: 40 * time.Minute},
		{name: "slept for two years", schedule: "0 * * * *", created: "2024-03-01 10:10:00", now: "2026-03-01 13:20:00", due: "2026-03-01 13:00:00", missed: 17523, wait: 40 * time.Minute},
		{name: "uneven", schedule: "30 6-16/4 * * 1-5", created: "2026-02-27 05:00:00", now: "2026-03-02 05:00:00", due: "2026-02-27 14:30:00", missed: 18, wait: 90 * time.Minute},
		{name: "two a year", schedule: "0,1 0 1 1 *", created: "2025-12-31 00:00:00", now: "2026-06-01 00:00:00", due: "2026-01-01 00:01:00", missed: 217441, wait: 5136 * time.Hour},
		{name: "each two seconds", schedule: "@every 2s", created: "2026-03-01 10:00:00", now: "2026-03-01 10:00:05", due: "2026-03-01 10:00:04", missed: 2, wait: time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cj := newCron(tt.schedule, tt.created)
			if tt.last != "" {
				cj.Status.LastScheduleTime = &metav1.Time{Time: at(tt.last)}
			}
			if tt.deadline > 0 {
				cj.Spec.StartingDeadlineSeconds = &tt.deadline
			}
			schedule, err := parse(cj)
			if err != nil {
				t.Fatal(err)
			}
			_, got, err := startsBy(cj, schedule, at(tt.now), true)
			if err != nil {
				t.Fatal(err)
			}
			due := ""
			if got.due != nil {
				due = got.due.UTC().Format("2006-01-02 15:04:05")
			}
			if due != tt.due || got.missed != tt.missed {
				t.Errorf("due %q, missed %d; want %q, %d", due, got.missed, tt.due, tt.missed)
			}
			if wait := untilNext(cj, schedule, at(tt.now)); wait != tt.wait+margin {
				t.Errorf("the next in %v, want %v", wait-margin, tt.wait)
			}
		})
	}
}

func TestNeverComes(t *testing.T) {
	cj := newCron("59 23 31 2 *", "2026-03-01 10:00:00")
	schedule, err := parse(cj)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := startsBy(cj, schedule, at("2026-03-01 10:00:00"), true); err == nil {
		t.Error("the 31st of February should be an error")
	}
}

func TestTimeZone(t *testing.T) {
	cj, zone := newCron("0 8 * * *", "2026-07-01 00:00:00"), "Europe/Berlin"
	cj.Spec.TimeZone = &zone
	schedule, err := parse(cj)
	if err != nil {
		t.Fatal(err)
	}
	_, s, err := startsBy(cj, schedule, at("2026-07-01 06:00:00"), true)
	if err != nil || s.due == nil || !s.due.Equal(at("2026-07-01 06:00:00")) {
		t.Fatalf("%v, %v", s.due, err)
	}
	j := jobFor(cj, "x", *s.due)
	if got := j.Annotations[batch.CronJobScheduledTimestampAnnotation]; got != "2026-07-01T08:00:00+02:00" {
		t.Errorf("scheduled for %s", got)
	}
}

// A time zone in the schedule, which objects of before timeZone may have, holds, with a warning.
func TestScheduleWithTimeZone(t *testing.T) {
	events := record.NewFakeRecorder(10)
	c := &Controller{Config: Config{Recorder: events}, now: func() time.Time { return at("2026-03-01 10:00:00") }}
	cj := newCron("CRON_TZ=Asia/Tokyo 0 20 * * *", "2026-03-01 09:00:00")
	zone := "Europe/Berlin"
	cj.Spec.TimeZone = &zone
	wait, err := c.schedule(t.Context(), cj, nil)
	if err != nil || wait != time.Hour+margin {
		t.Errorf("the next in %v, %v", wait, err)
	}
	const want = `Warning UnsupportedSchedule CRON_TZ or TZ used in schedule "CRON_TZ=Asia/Tokyo 0 20 * * *" is not officially supported, ` +
		"see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
	if got := <-events.Events; got != want {
		t.Errorf("event %q", got)
	}
}

func TestJobName(t *testing.T) {
	when := time.Unix(1_000_000, 0)
	for schedule, want := range map[string]string{"* * * * *": "tick-16666", "@every 2s": "tick-1000000", "@every 5m": "tick-16666"} {
		cj := newCron(schedule, "2026-03-01 10:00:00")
		parsed, err := parse(cj)
		if err != nil {
			t.Fatal(err)
		}
		if got := jobName(cj, when, parsed); got != want {
			t.Errorf("%s: got %s, want %s", schedule, got, want)
		}
	}
}

func TestSurplus(t *testing.T) {
	var jobs []*batch.Job
	for i, how := range strings.Fields("Complete Complete Failed Complete Failed Running Complete") {
		j := &batch.Job{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i)), CreationTimestamp: metav1.NewTime(time.Unix(int64(1000-i), 0))}}
		if how != "Running" {
			j.Status.Conditions = []batch.JobCondition{{Type: batch.JobConditionType(how), Status: v1.ConditionTrue}}
		}
		jobs = append(jobs, j)
	}
	good, bad := int32(3), int32(1)
	cj := newCron("* * * * *", "2026-03-01 10:00:00")
	names := func() string {
		var out []string
		for _, j := range surplus(cj, jobs) {
			out = append(out, j.Name)
		}
		return strings.Join(out, " ")
	}
	if got := names(); got != "" {
		t.Errorf("without limits: %s", got)
	}
	cj.Spec.SuccessfulJobsHistoryLimit, cj.Spec.FailedJobsHistoryLimit = &good, &bad
	if got := names(); got != "6 4" {
		t.Errorf("the oldest should go: %s", got)
	}
}
