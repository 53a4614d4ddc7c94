package podstatus

// WaitingError is an error that is reported as a container's waiting state.
type WaitingError struct {
	Reason string
	err    error
}

// NewWaitingError returns err as the waiting state of a reason.
func NewWaitingError(reason string, err error) error { return &WaitingError{reason, err} }

func (e *WaitingError) Error() string { return e.err.Error() }

func (e *WaitingError) Unwrap() error { return e.err }
