package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The limits of a quantity. Parsing takes time quadratic in the length, and 1e-999999999 has a billion digits
// once it is rounded.
const (
	quantityDigits   = 64
	quantityExponent = 2 // digits
)

// ErrQuantity is the error for a quantity that is too long or too large to be parsed.
var ErrQuantity = errors.New("a quantity may have at most 64 digits and an exponent of at most two digits")

// CheckQuantities returns ErrQuantity if a body has a quantity that must not be parsed. The body is JSON, or a
// protobuf message of its kind; obj is the object that it is decoded into. A malformed body is no error here:
// decoding reports it.
func CheckQuantities(body []byte, isJSON bool, obj any) error {
	if !maybeHuge(body) {
		return nil
	}
	t := reflect.TypeOf(obj)
	if !holdsQuantity(t) {
		return nil
	}
	if !isJSON {
		return checkProtobufQuantities(body, t)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := checkToken(d, t); errors.Is(err, ErrQuantity) {
		return err
	}
	return nil
}

// maybeHuge reports whether the text has something like a huge quantity anywhere. Nearly no body has.
func maybeHuge(text []byte) bool {
	digits := 0
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9' || c == '.':
			if digits++; digits > quantityDigits {
				return true
			}
			continue
		case digits > 0 && (c == 'e' || c == 'E'):
			if longExponent(text[i+1:]) {
				return true
			}
		case c == '\\' && escapesDigit(text[i+1:]):
			return true
		}
		digits = 0
	}
	return false
}

func longExponent(text []byte) bool {
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	if len(text) <= quantityExponent {
		return false
	}
	for _, c := range text[:quantityExponent+1] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// escapesDigit reports whether an escape such as \u0065 stands for a character of a quantity.
func escapesDigit(text []byte) bool {
	if len(text) < 5 || text[0] != 'u' {
		return false
	}
	c, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	return err == nil && c < 128 && strings.ContainsRune("0123456789.+-eE", rune(c))
}

func isHuge(text string) bool {
	number := strings.TrimRight(text, " \t\r\n")
	digits := 0
	for i := range len(number) {
		switch c := number[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == 'e' || c == 'E':
			return longExponent([]byte(number[i+1:])) || digits > quantityDigits
		}
	}
	return digits > quantityDigits
}

var quantityType = reflect.TypeFor[resource.Quantity]()

// checkToken reads one value of the type t. A member that is given twice is read twice, as the decoder does.
func checkToken(d *json.Decoder, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case string:
		return checkText(v, t)
	case json.Number:
		return checkText(v.String(), t)
	case json.Delim:
		var inner reflect.Type
		if v == '[' && t != nil && t.Kind() == reflect.Slice {
			inner = t.Elem()
		}
		for d.More() {
			if v == '{' {
				name, err := d.Token()
				if err != nil {
					return err
				}
				inner = memberType(t, name.(string))
			}
			if err := checkToken(d, inner); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

func checkText(text string, t reflect.Type) error {
	if t == quantityType && isHuge(text) {
		return ErrQuantity
	}
	return nil
}

// memberType returns the type of a member in JSON, nil if it is unknown or holds no quantity. Some decoders
// ignore the case of names.
func memberType(t reflect.Type, name string) reflect.Type {
	if t == nil || !holdsQuantity(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem()
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag != "" && strings.EqualFold(tag, name) {
				return f.Type
			}
			if f.Anonymous && (tag == "" || options == "inline") && f.Type.Kind() == reflect.Struct {
				if inner := memberType(f.Type, name); inner != nil {
					return inner
				}
			}
		}
	}
	return nil
}

// checkProtobufQuantities is CheckQuantities for a protobuf body.
func checkProtobufQuantities(body []byte, t reflect.Type) error {
	if raw, ok := bytes.CutPrefix(body, []byte("k8s\x00")); ok {
		return EachField(raw, func(number protowire.Number, content []byte) error {
			if number == 2 { // raw of runtime.Unknown
				return checkMessage(content, t)
			}
			return nil
		})
	}
	return checkMessage(body, t)
}

func checkMessage(b []byte, t reflect.Type) error {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if !holdsQuantity(t) {
		return nil
	}
	return EachField(b, func(number protowire.Number, content []byte) error {
		switch {
		case t == quantityType:
			if number == 1 && isHuge(string(content)) {
				return ErrQuantity
			}
			return nil
		case t.Kind() == reflect.Map:
			if number == 2 { // the value of an entry
				return checkMessage(content, t.Elem())
			}
			return nil
		}
		if inner := FieldOf(t, number); inner != nil {
			return checkMessage(content, inner)
		}
		return nil
	})
}

var quantityHolders sync.Map // of reflect.Type to bool

// holdsQuantity reports whether a value of the type can hold a quantity.
func holdsQuantity(t reflect.Type) bool {
	if known, ok := quantityHolders.Load(t); ok {
		return known.(bool)
	}
	holds := findQuantity(t, map[reflect.Type]bool{})
	quantityHolders.Store(t, holds)
	return holds
}

func findQuantity(t reflect.Type, visited map[reflect.Type]bool) bool {
	if t == quantityType {
		return true
	}
	if visited[t] {
		return false
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return findQuantity(t.Elem(), visited)
	case reflect.Struct:
		for i := range t.NumField() {
			if findQuantity(t.Field(i).Type, visited) {
				return true
			}
		}
	}
	return false
}
