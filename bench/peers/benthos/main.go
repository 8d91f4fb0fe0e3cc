// Benthos is Benthos with an input and an output for Kafka of our own, since the module has none: the thinnest ones that keep its guarantee, at least once.
package main

import (
	"context"
	"fmt"
	"os"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
)

func main() {
	env := service.GlobalEnvironment()
	if err := register(env); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	service.RunCLI(context.Background())
}

func register(env *service.Environment) error {
	if err := env.RegisterBatchInput("franz", inputSpec(), newInput); err != nil {
		return err
	}
	return env.RegisterBatchOutput("franz", outputSpec(), newOutput)
}
