// Package samples builds the images of the sample functions: a web
// application and a model server. Their programs are compiled beforehand;
// catalogue, pictures and model are made here, the same each time.
package samples

import (
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/functionhost/image"
	"github.com/coldscope/coldscope/internal/functionhost/samples/halfplustwo"
)

//go:embed webapp/templates
var templates embed.FS

// Sizes of what the images carry.
const (
	modelInputs = 11 << 19 // 44 MiB of weights and biases
	pictures    = 32
	pictureSide = 592 // pixels; 3 bytes each make 1 MiB
	products    = 16000
)

// Sample is a sample function's image.
type Sample struct {
	Name  string
	Image v1.Image
}

// Build makes the images of all samples from the programs in binDir. The
// lowest layer is the same in all of them.
func Build(binDir string) ([]Sample, error) {
	base, err := image.Layer(
		image.File{Name: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/false\nqcloud:x:1000:1000:function:/tmp:/bin/false\n")},
		image.File{Name: "/etc/group", Data: []byte("root:x:0:\nqcloud:x:1000:\n")},
		image.File{Name: "/etc/os-release", Data: []byte("NAME=\"Coldscope sample functions\"\nID=coldscope-samples\n")},
		image.File{Name: "/etc/nsswitch.conf", Data: []byte("hosts: files dns\n")},
		image.File{Name: "/root", Dir: true, Mode: 0o700},
		image.File{Name: "/tmp", Dir: true, Mode: 0o1777},
	)
	if err != nil {
		return nil, err
	}
	all := []Sample{{Name: "webapp"}, {Name: "inference"}}
	var g errgroup.Group
	for i, build := range []func(base, program v1.Layer) (v1.Image, error){webapp, inference} {
		g.Go(func() error {
			program, err := programLayer(binDir, all[i].Name)
			if err != nil {
				return err
			}
			all[i].Image, err = build(base, program)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("build sample functions: %w", err)
	}
	return all, nil
}

func programLayer(binDir, name string) (v1.Layer, error) {
	file := filepath.Join(binDir, name)
	program, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the program of sample function %s is missing: %s; run `make build` first", name, file)
	}
	if err != nil {
		return nil, err
	}
	return image.Layer(image.File{Name: "/usr/local/bin/" + name, Mode: 0o755, Data: program})
}

func webapp(base, program v1.Layer) (v1.Image, error) {
	shop := []image.File{{Name: "/app/catalogue.jsonl", Data: catalogue()}}
	names, err := fs.Glob(templates, "webapp/templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := templates.ReadFile(name)
		if err != nil {
			return nil, err
		}
		shop = append(shop, image.File{Name: "/app/templates/" + path.Base(name), Data: text})
	}
	shopLayer, err := image.Layer(shop...)
	if err != nil {
		return nil, err
	}
	static := make([]image.File, pictures)
	for i := range static {
		static[i] = image.File{Name: fmt.Sprintf("/app/static/img/%02d.bmp", i), Data: picture(uint64(i))}
	}
	staticLayer, err := image.Layer(static...)
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{
		User: "1000:1000", WorkingDir: "/app", Env: env(),
		Entrypoint:   []string{"/usr/local/bin/webapp"},
		ExposedPorts: map[string]struct{}{"9000/tcp": {}},
	}, base, staticLayer, shopLayer, program)
}

func inference(base, program v1.Layer) (v1.Image, error) {
	model, err := image.Layer(image.File{Name: "/models/half_plus_two/00000123/saved_model.bin", Data: halfplustwo.Encode(modelInputs)})
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{
		User: "1000:1000", WorkingDir: "/", Env: env(),
		Entrypoint:   []string{"/usr/local/bin/inference"},
		Cmd:          []string{"--model_base_path=/models/half_plus_two"},
		ExposedPorts: map[string]struct{}{"9000/tcp": {}},
	}, base, model, program)
}

func env() []string { return []string{"PATH=/usr/local/bin:/usr/bin:/bin"} }

// picture is a bitmap of noise: what a photograph is to a compressor.
func picture(seed uint64) []byte {
	const (
		headers = 14 + 40
		row     = (3*pictureSide + 3) / 4 * 4
		size    = headers + row*pictureSide
	)
	b := make([]byte, size)
	le := binary.LittleEndian
	copy(b, "BM")
	le.PutUint32(b[2:], size)
	le.PutUint32(b[10:], headers)
	le.PutUint32(b[14:], 40)
	le.PutUint32(b[18:], pictureSide)
	le.PutUint32(b[22:], pictureSide)
	le.PutUint16(b[26:], 1)
	le.PutUint16(b[28:], 24)
	le.PutUint32(b[34:], row*pictureSide)
	noise := rand.NewPCG(0xb17, seed)
	for at := headers; at+8 <= size; at += 8 {
		le.PutUint64(b[at:], noise.Uint64())
	}
	return b
}

// catalogue is the shop's list of products, one JSON object a line.
func catalogue() []byte {
	departments := []string{"Bakery", "Dairy", "Garden", "Kitchen", "Books", "Toys", "Tools", "Music"}
	adjectives := strings.Fields("small large fresh old red blue green quiet bright heavy light smooth rough plain golden silver wooden woven")
	nouns := strings.Fields("loaf jug spade kettle atlas puzzle hammer drum basket lamp chair bottle ribbon candle mirror whistle bucket blanket")
	r := rand.New(rand.NewPCG(7, 11))
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	vocabulary := make([]string, 6000)
	for i := range vocabulary {
		var w []byte
		for range 2 + r.IntN(3) {
			w = append(w, "bdfgklmnprstvz"[r.IntN(14)], "aeiou"[r.IntN(5)])
		}
		vocabulary[i] = string(w)
	}
	var b []byte
	for id := 1; id <= products; id++ {
		words := make([]string, 30)
		for i := range words {
			words[i] = pick(vocabulary)
		}
		line, err := json.Marshal(struct {
			ID         int    `json:"id"`
			Name       string `json:"name"`
			Department string `json:"department"`
			Text       string `json:"text"`
			Cents      int    `json:"cents"`
			Image      string `json:"image"`
		}{
			id, pick(adjectives) + " " + pick(adjectives) + " " + pick(nouns), pick(departments),
			strings.Join(words, " ") + ".", 99 + r.IntN(9900), fmt.Sprintf("/static/img/%02d.bmp", r.IntN(pictures)),
		})
		if err != nil {
			panic(err) // a struct of strings and numbers
		}
		b = append(append(b, line...), '\n')
	}
	return b
}
