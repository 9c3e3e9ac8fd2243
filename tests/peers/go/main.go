// A second opinion on our logs: Go's own note and tlog packages (golang.org/x/mod/sumdb) read what we write,
// and make logs that we must read. Nothing in here knows our code.
//
//	peer verify VKEY FOLDER [OLDER-CHECKPOINT]    every entry is in the tree; the tree continues the older one
//	peer proof VKEY LEAF-FILE PROOF-FILE          a tlog-proof file proves the leaf
//	peer cosigned VKEY WITNESS-VKEY CHECKPOINT    the witness's cosignature/v1 holds; prints its time
//	peer make NAME FOLDER SIZE [OLD-SIZE]         a log of SIZE entries; with OLD-SIZE also a request to cosign
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// The three lines of a checkpoint.
func head(text string) (string, tlog.Tree) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		check(fmt.Errorf("a checkpoint has three lines"))
	}
	size := must(strconv.ParseInt(lines[1], 10, 64))
	return lines[0], tlog.Tree{N: size, Hash: must(tlog.ParseHash(lines[2]))}
}

func open(vkey string, signed []byte) (string, tlog.Tree) {
	verifier := must(note.NewVerifier(vkey))
	opened := must(note.Open(signed, note.VerifierList(verifier)))
	origin, tree := head(opened.Text)
	if origin != verifier.Name() {
		check(fmt.Errorf("origin %q, key of %q", origin, verifier.Name()))
	}
	return origin, tree
}

// C2SP tlog-tiles leaves the height out of the path.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

type folder string

func (f folder) Height() int                     { return height }
func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), path(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) entries(size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		name := path(tlog.Tile{H: height, L: -1, N: n, W: int(width)})
		name = strings.Replace(name, "tile/data/", "tile/entries/", 1)
		data := must(os.ReadFile(filepath.Join(string(f), name)))
		for count := int64(0); count < width; count++ {
			length := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) > 0 {
			check(fmt.Errorf("%s has more entries than its name says", name))
		}
	}
	return all
}

func verify(vkey, directory string, older []string) {
	files := folder(directory)
	origin, tree := open(vkey, must(os.ReadFile(filepath.Join(directory, "checkpoint"))))
	reader := tlog.TileHashReader(tree, files)
	if root := must(tlog.TreeHash(tree.N, reader)); root != tree.Hash {
		check(fmt.Errorf("the tiles have root %v, the checkpoint %v", root, tree.Hash))
	}
	for index, entry := range files.entries(tree.N) {
		proof := must(tlog.ProveRecord(tree.N, int64(index), reader))
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)))
	}
	for _, name := range older {
		_, old := open(vkey, must(os.ReadFile(name)))
		proof := must(tlog.ProveTree(tree.N, old.N, reader))
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	}
	fmt.Printf("%s: %d entries\n", origin, tree.N)
}

func proof(vkey, leaf, name string) {
	text := string(must(os.ReadFile(name)))
	before, checkpoint, found := strings.Cut(text, "\n\n")
	lines := strings.Split(before, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		check(fmt.Errorf("not a tlog-proof"))
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64))
	var hashes tlog.RecordProof
	for _, line := range lines[1:] {
		hashes = append(hashes, must(tlog.ParseHash(line)))
	}
	origin, tree := open(vkey, []byte(checkpoint))
	hash := tlog.RecordHash(must(os.ReadFile(leaf)))
	check(tlog.CheckRecord(hashes, tree.N, tree.Hash, index, hash))
	fmt.Printf("%s: entry %d of %d\n", origin, index, tree.N)
}

func cosigned(vkey, witness, name string) {
	signed := must(os.ReadFile(name))
	open(vkey, signed)
	text, signatures, _ := strings.Cut(string(signed), "\n\n")
	text += "\n"
	parts := strings.SplitN(witness, "+", 3)
	key := must(base64.StdEncoding.DecodeString(parts[2]))
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	for _, line := range strings.Split(strings.TrimSpace(signatures), "\n") {
		fields := strings.Fields(line)
		raw := must(base64.StdEncoding.DecodeString(fields[2]))
		if fields[1] != parts[0] || !bytes.Equal(raw[:4], id[:4]) {
			continue
		}
		time := binary.BigEndian.Uint64(raw[4:12])
		message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
		if key[0] != 4 || !ed25519.Verify(ed25519.PublicKey(key[1:]), []byte(message), raw[12:]) {
			check(fmt.Errorf("the cosignature does not hold"))
		}
		fmt.Println(time)
		return
	}
	check(fmt.Errorf("%s has not cosigned", parts[0]))
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		found = append(found, h[index])
	}
	return found, nil
}

func write(directory, name string, data []byte) {
	name = filepath.Join(directory, name)
	check(os.MkdirAll(filepath.Dir(name), 0o755))
	check(os.WriteFile(name, data, 0o644))
}

func sign(signer note.Signer, size int64, stored hashes) []byte {
	root := must(tlog.TreeHash(size, stored))
	text := fmt.Sprintf("%s\n%d\n%v\n", signer.Name(), size, root)
	return must(note.Sign(&note.Note{Text: text}, signer))
}

func makeLog(name, directory string, size int64, old []string) {
	secret, public, err := note.GenerateKey(rand.Reader, name)
	check(err)
	signer := must(note.NewSigner(secret))
	var stored hashes
	var bundle []byte
	for index := int64(0); index < size; index++ {
		entry := []byte(fmt.Sprintf("entry %d", index))
		stored = append(stored, must(tlog.StoredHashes(index, entry, stored))...)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
		if width := index%256 + 1; width == 256 || index == size-1 {
			tile := path(tlog.Tile{H: height, L: -1, N: index / 256, W: int(width)})
			write(directory, strings.Replace(tile, "tile/data/", "tile/entries/", 1), bundle)
			bundle = nil
		}
	}
	for _, tile := range tlog.NewTiles(height, 0, size) {
		write(directory, path(tile), must(tlog.ReadTileData(tile, stored)))
	}
	write(directory, "checkpoint", sign(signer, size, stored))
	for _, argument := range old {
		oldSize := must(strconv.ParseInt(argument, 10, 64))
		write(directory, "older", sign(signer, oldSize, stored))
		request := fmt.Sprintf("old %d\n", oldSize)
		for _, hash := range must(tlog.ProveTree(size, oldSize, stored)) {
			request += hash.String() + "\n"
		}
		write(directory, "request", append([]byte(request+"\n"), sign(signer, size, stored)...))
		write(directory, "first-request", append([]byte("old 0\n\n"), sign(signer, oldSize, stored)...))
	}
	fmt.Println(public)
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) < 4 {
		fmt.Fprintln(os.Stderr, "usage: peer verify|proof|cosigned|make ...")
		os.Exit(2)
	}
	switch arguments[0] {
	case "verify":
		verify(arguments[1], arguments[2], arguments[3:])
	case "proof":
		proof(arguments[1], arguments[2], arguments[3])
	case "cosigned":
		cosigned(arguments[1], arguments[2], arguments[3])
	case "make":
		makeLog(arguments[1], arguments[2], must(strconv.ParseInt(arguments[3], 10, 64)), arguments[4:])
	default:
		os.Exit(2)
	}
}
