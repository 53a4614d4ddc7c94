package session

import (
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
)

// Progress is what a learner has done: the content of the progress file.
type Progress struct {
	Version int                     `json:"version"`
	Current string                  `json:"current,omitempty"` // the lab that was started last, TRACK/NAME
	Labs    map[string]*LabProgress `json:"labs"`
}

// LabProgress is what was done in one lab.
type LabProgress struct {
	Dir     string                   `json:"dir"`  // of the lab's files
	Step    string                   `json:"step"` // the current one
	Started time.Time                `json:"started"`
	Steps   map[string]*StepProgress `json:"steps"`
}

// Ways of being done with a step: by oneself, by 'solve', and by going past it.
const (
	BySelf  = "self"
	BySolve = "solve"
	BySkip  = "skip"
)

// StepProgress is what was done in one step.
type StepProgress struct {
	Checks  map[string]*Mark `json:"checks,omitempty"`
	Hints   int              `json:"hints,omitempty"` // that were shown
	Answers map[int]int      `json:"answers,omitempty"`
	Done    time.Time        `json:"done,omitzero"`
	By      string           `json:"by,omitempty"`
	SetUp   time.Time        `json:"setUp,omitzero"` // when its setup script was run
}

// Mark is what is known of one check.
type Mark struct {
	Done time.Time `json:"done,omitzero"`  // when it was first met
	Lost time.Time `json:"lost,omitzero"`  // when it was seen not to be met any more
	Late bool      `json:"late,omitempty"` // the last look did not end in time; once that is the machine's fault, twice a loss
	// First is how the check first failed in this step: while it fails in the same way, nothing was
	// tried, and the reason is not shown unless the learner looks again.
	First string `json:"first,omitempty"`
	Looks int    `json:"looks,omitempty"` // of the learner, while it failed
}

func newProgress() *Progress { return &Progress{Version: 1, Labs: map[string]*LabProgress{}} }

// lab returns the progress of a lab, which it makes if there is none.
func (p *Progress) lab(id string) *LabProgress {
	l := p.Labs[id]
	if l == nil {
		l = &LabProgress{}
		p.Labs[id] = l
	}
	if l.Steps == nil {
		l.Steps = map[string]*StepProgress{}
	}
	return l
}

// step returns the progress of a step, which it makes if there is none.
func (l *LabProgress) step(name string) *StepProgress {
	s := l.Steps[name]
	if s == nil {
		s = &StepProgress{}
		l.Steps[name] = s
	}
	if s.Checks == nil {
		s.Checks = map[string]*Mark{}
	}
	if s.Answers == nil {
		s.Answers = map[int]int{}
	}
	return s
}

// record notes the results of the step's checks. asked says that it was the learner who asked, not
// that the cluster has changed.
func (s *StepProgress) record(step *catalog.Step, results []Result, asked bool, now time.Time) {
	for _, r := range results {
		m := s.Checks[r.Name]
		if m == nil {
			m = &Mark{}
			s.Checks[r.Name] = m
		}
		switch {
		case r.OK:
			if m.Done.IsZero() {
				m.Done = now
			}
			m.Lost, m.Looks, m.Late = time.Time{}, 0, false
		case !m.Done.IsZero():
			late := r.Reason.Unknown && !m.Late
			if m.Late = r.Reason.Unknown; m.Lost.IsZero() && !late {
				m.Lost = now
			}
		default:
			if m.First == "" {
				m.First = r.Reason.Seen
			}
			if asked {
				m.Looks++
			}
		}
	}
	s.finish(step, now)
}

// finish marks the step as done when every check is met and every question answered.
func (s *StepProgress) finish(step *catalog.Step, now time.Time) {
	for _, c := range step.Checks {
		if m := s.Checks[c.Text]; m == nil || m.Done.IsZero() || !m.Lost.IsZero() {
			return
		}
	}
	for i, q := range step.Quiz {
		if a, ok := s.Answers[i]; !ok || a != q.Right {
			return
		}
	}
	if s.Done.IsZero() || s.By == BySkip {
		s.Done, s.By = now, BySelf
	}
}

// States of a step and of a check.
const (
	ToDo    = "todo"
	Done    = "done"
	Solved  = "solved"
	Skipped = "skipped"
	Lost    = "lost" // was done, and is not any more
)

// View is what there is to show of a session. It is computed from the lab and the progress.
type View struct {
	Lab       string         `json:"lab"`
	Title     string         `json:"title"`
	Namespace string         `json:"namespace"`
	Dir       string         `json:"dir"`
	Step      int            `json:"step"` // index of Steps
	Steps     []StepView     `json:"steps"`
	Checks    []CheckView    `json:"checks"` // of the current step
	Hints     []string       `json:"hints"`  // of the current step, as far as they were shown
	HintsLeft int            `json:"hintsLeft"`
	Quiz      []QuestionView `json:"quiz"` // of the current step
}

// StepView is one step of the lab.
type StepView struct {
	Name  string    `json:"name"`
	Title string    `json:"title"`
	State string    `json:"state"` // todo, done, solved, skipped
	Done  time.Time `json:"done,omitzero"`
}

// CheckView is one check of the current step.
type CheckView struct {
	Name   string    `json:"name"`
	State  string    `json:"state"` // todo, done, lost
	Done   time.Time `json:"done,omitzero"`
	Lost   time.Time `json:"lost,omitzero"`
	Reason *Reason   `json:"reason,omitempty"` // why it is not met; nil until something was tried, or the learner looked twice
}

// QuestionView is one question of the current step.
type QuestionView struct {
	Text        string   `json:"text"`
	Answers     []string `json:"answers"`
	Given       int      `json:"given"` // index of the last answer; -1: none
	Right       bool     `json:"right"`
	Explanation string   `json:"explanation,omitempty"` // once the answer is right
}

// StepsDone returns how many steps of the lab are done, by whatever way, and how many by oneself.
func (p *Progress) StepsDone(lab *catalog.Lab) (done, bySelf int) {
	l := p.Labs[lab.Key()]
	if l == nil {
		return 0, 0
	}
	for i := range lab.Steps {
		if s := l.Steps[lab.Steps[i].Name]; s != nil && !s.Done.IsZero() && s.By != BySkip {
			done++
			if s.By == BySelf {
				bySelf++
			}
		}
	}
	return done, bySelf
}

// current returns the index of the lab's current step. A step that the lab no longer has is its first.
func (l *LabProgress) current(lab *catalog.Lab) int {
	i, err := lab.StepIndex(l.Step)
	if err != nil {
		return 0
	}
	return i
}

// view computes what there is to show. reasons are those of the last results, by the check's name.
func (l *LabProgress) view(lab *catalog.Lab, reasons map[string]*Reason) View {
	n := l.current(lab)
	v := View{
		Lab: lab.ID(), Title: lab.Title, Namespace: lab.Namespace, Dir: l.Dir, Step: n,
		Steps: []StepView{}, Checks: []CheckView{}, Hints: []string{}, Quiz: []QuestionView{},
	}
	for i := range lab.Steps {
		v.Steps = append(v.Steps, l.stepView(&lab.Steps[i]))
	}
	step, s := &lab.Steps[n], l.step(lab.Steps[n].Name)
	for _, c := range step.Checks {
		v.Checks = append(v.Checks, s.checkView(c, reasons[c.Text]))
	}
	shown := min(s.Hints, len(step.Hints))
	v.Hints, v.HintsLeft = append(v.Hints, step.Hints[:shown]...), len(step.Hints)-shown
	for i, q := range step.Quiz {
		qv := QuestionView{Text: q.Text, Answers: q.Answers, Given: -1}
		if a, ok := s.Answers[i]; ok {
			qv.Given, qv.Right = a, a == q.Right
		}
		if qv.Right {
			qv.Explanation = q.Explanation
		}
		v.Quiz = append(v.Quiz, qv)
	}
	return v
}

func (l *LabProgress) stepView(step *catalog.Step) StepView {
	v := StepView{Name: step.Name, Title: step.Title, State: ToDo}
	s := l.Steps[step.Name]
	if s == nil || s.Done.IsZero() {
		return v
	}
	v.Done = s.Done
	switch s.By {
	case BySolve:
		v.State = Solved
	case BySkip:
		v.State = Skipped
	default:
		v.State = Done
	}
	return v
}

func (s *StepProgress) checkView(c script.Item, reason *Reason) CheckView {
	v := CheckView{Name: c.Text, State: ToDo}
	m := s.Checks[c.Text]
	if m == nil {
		return v
	}
	v.Done, v.Lost = m.Done, m.Lost
	switch {
	case m.Done.IsZero():
		if reason != nil && (m.Looks > 1 || reason.Seen != m.First) {
			v.Reason = reason
		}
	case m.Lost.IsZero():
		v.State = Done
	default:
		v.State, v.Reason = Lost, reason
	}
	return v
}
