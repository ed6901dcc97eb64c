package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/functionhost/samples/lines"
)

// shop is what is loaded once, before the first request.
type shop struct {
	out         *lines.Printer
	products    []product
	departments []string
	index       map[string][]int // word → products that have it, ascending
	templates   *template.Template
	assets      map[string]asset // by URL path
	emptyBasket map[string]int   // nobody made it
}

type product struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	Department string `json:"department"`
	Text       string `json:"text"`
	Cents      int    `json:"cents"`
	Image      string `json:"image"`
}

// PriceText is the price as customers read it.
func (p product) PriceText() string { return euros(p.Cents) }

func euros(cents int) string { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) }

type asset struct{ path, etag string }

// page is what the templates are given.
type page struct {
	Title, Query, Order, Sum string
	Total                    int
	Departments              []string
	Products                 []product
	Product                  product
}

func openShop(dir string, out *lines.Printer) (*shop, error) {
	s := &shop{out: out, index: map[string][]int{}, assets: map[string]asset{}}
	for _, step := range []struct {
		name string
		do   func(dir string) (int, error)
	}{
		{"templates parsed", s.loadTemplates},
		{"products read", s.loadCatalogue},
		{"words indexed", func(string) (int, error) { return s.buildIndex(), nil }},
		{"static files fingerprinted", s.loadAssets},
	} {
		begin := time.Now()
		n, err := step.do(dir)
		if err != nil {
			return nil, err
		}
		out.Stdout("", "INFO  boot: %d %s in %d ms", n, step.name, time.Since(begin).Milliseconds())
	}
	return s, nil
}

func (s *shop) loadTemplates(dir string) (n int, err error) {
	s.templates, err = template.ParseGlob(filepath.Join(dir, "templates", "*.html"))
	if err != nil {
		return 0, fmt.Errorf("load templates: %w", err)
	}
	return len(s.templates.Templates()), nil
}

func (s *shop) loadCatalogue(dir string) (int, error) {
	f, err := os.Open(filepath.Join(dir, "catalogue.jsonl"))
	if err != nil {
		return 0, fmt.Errorf("load catalogue: %w", err)
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20)); d.More(); {
		var p product
		if err := d.Decode(&p); err != nil {
			return 0, fmt.Errorf("load catalogue: %w", err)
		}
		if p.ID != len(s.products)+1 {
			return 0, fmt.Errorf("load catalogue: product %d stands where %d belongs", p.ID, len(s.products)+1)
		}
		s.products = append(s.products, p)
		if !slices.Contains(s.departments, p.Department) {
			s.departments = append(s.departments, p.Department)
		}
	}
	return len(s.products), nil
}

func (s *shop) buildIndex() int {
	for i, p := range s.products {
		for word := range strings.FieldsFuncSeq(strings.ToLower(p.Name+" "+p.Department+" "+p.Text), notLetter) {
			if at := s.index[word]; len(at) == 0 || at[len(at)-1] != i {
				s.index[word] = append(at, i)
			}
		}
	}
	return len(s.index)
}

func notLetter(r rune) bool { return r < 'a' || r > 'z' }

func (s *shop) loadAssets(dir string) (int, error) {
	root := filepath.Join(dir, "static")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return err
		}
		s.assets["/static"+strings.TrimPrefix(path, root)] = asset{path: path, etag: `"` + hex.EncodeToString(sum.Sum(nil)[:8]) + `"`}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("load static files: %w", err)
	}
	return len(s.assets), nil
}

// search gives the products that have every word of q, all for an empty q.
func (s *shop) search(q string) []int {
	words := strings.FieldsFunc(strings.ToLower(q), notLetter)
	if len(words) == 0 {
		all := make([]int, len(s.products))
		for i := range all {
			all[i] = i
		}
		return all
	}
	found := s.index[words[0]]
	for _, w := range words[1:] {
		next := s.index[w]
		both := make([]int, 0, min(len(found), len(next)))
		for _, i := range found {
			if _, ok := slices.BinarySearch(next, i); ok {
				both = append(both, i)
			}
		}
		found = both
	}
	return found
}

func (s *shop) product(id string) (product, bool) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(s.products) {
		return product{}, false
	}
	return s.products[n-1], true
}
