package ingest

import "testing"

func TestFreeList(t *testing.T) {
	var f freeList[byte]
	for i := range 100 {
		f.put(make([]byte, 1<<20+i))
		if f.bytes > maxFree || len(f.free) > 8 {
			t.Fatalf("%d bytes in %d slices are kept", f.bytes, len(f.free))
		}
	}
	f.put(make([]byte, maxFree+1))
	kept := len(f.free)
	if s := f.get(1<<20 + 97); cap(s) < 1<<20+97 || len(s) != 0 || len(f.free) != kept-1 {
		t.Errorf("got a capacity of %d, %d kept", cap(s), len(f.free))
	}
	if s := f.get(maxFree); cap(s) < maxFree || len(f.free) != kept-1 {
		t.Errorf("got a capacity of %d, %d kept", cap(s), len(f.free))
	}
	for range kept - 1 {
		f.get(1)
	}
	if f.bytes != 0 || len(f.free) != 0 {
		t.Errorf("%d bytes left", f.bytes)
	}
}
