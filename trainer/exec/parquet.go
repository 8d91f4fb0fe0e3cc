package exec

import (
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// Rows are windows with what a network should say of them.
type Rows struct {
	// Windows holds them one after the other, each row-major [length, channels] and scaled; the other slices have one entry a window.
	Windows []float32
	Targets []float32
	// Weights may be nil: all 1.
	Weights []float32
	Assets  []string
	// Ends are Unix nanoseconds.
	Ends []int64
}

// groupRows is how many windows a row group holds: a reader has one in memory.
const groupRows = 8192

// write makes a Parquet file.
func (r *Rows) write(name string, width int) (err error) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "window", Type: arrow.FixedSizeListOf(int32(width), arrow.PrimitiveTypes.Float32), Nullable: true},
		{Name: "target", Type: arrow.PrimitiveTypes.Float32},
		{Name: "weight", Type: arrow.PrimitiveTypes.Float32},
		{Name: "asset", Type: arrow.BinaryTypes.String},
		{Name: "end", Type: arrow.FixedWidthTypes.Timestamp_us},
	}, nil)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryFor("window.list.element", false)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return err
	}
	for from := 0; from < len(r.Targets); from += groupRows {
		to := min(from+groupRows, len(r.Targets))
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		list := b.Field(0).(*array.FixedSizeListBuilder)
		values := list.ValueBuilder().(*array.Float32Builder)
		for i := from; i < to; i++ {
			list.Append(true)
			values.AppendValues(r.Windows[i*width:(i+1)*width], nil)
			b.Field(1).(*array.Float32Builder).Append(r.Targets[i])
			weight := float32(1)
			if r.Weights != nil {
				weight = r.Weights[i]
			}
			b.Field(2).(*array.Float32Builder).Append(weight)
			b.Field(3).(*array.StringBuilder).Append(r.Assets[i])
			b.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(r.Ends[i] / 1000))
		}
		rec := b.NewRecord()
		err := w.Write(rec)
		rec.Release()
		b.Release()
		if err != nil {
			return err
		}
	}
	return w.Close() // closes the file, too
}
