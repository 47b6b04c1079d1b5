/* SPDX-License-Identifier: Apache-2.0
 * Trains Mean Teacher on made-up volumes and labels another one: example [DEVICE]. */
#include <protovox.h>
#include <stdio.h>

static bool show(void *user, int64_t done, int64_t total)
{
    printf("\rstep %lld of %lld", (long long)done, (long long)total);
    return true; /* false cancels */
}

int main(int argc, char **argv)
{
    const int size[3] = {32, 32, 32};
    pv_context *context = pv_context_new(NULL, NULL, NULL);
    pv_device *device = pv_device_open(context, argc > 1 ? argv[1] : "auto");
    pv_training *training = NULL;
    pv_predictor *predictor = NULL;
    bool ok = device && pv_phantoms_make("phantoms", 4, 1, size, 7);
    ok = ok && (training = pv_training_open(device, "{\"data\": \"phantoms\", \"out\": \"run\", \"overwrite\": true, "
        "\"preset\": \"demo\", \"method\": \"mt\", \"labeled\": 2, \"iters\": 10}", show, NULL)) != NULL;
    ok = ok && pv_training_step(training, 0) == PV_DONE;
    pv_training_close(&training);
    ok = ok && (predictor = pv_predictor_open(device, "{\"run\": \"run\"}")) != NULL;
    ok = ok && pv_predict_file(predictor, "phantoms/imagesTs/phantom_004_0000.nii.gz", "label.nii.gz");
    printf("\n%s\n", ok ? "label.nii.gz is written" : pv_error());
    pv_predictor_close(&predictor);
    pv_device_close(&device);
    pv_context_free(&context);
    return ok ? 0 : 1;
}
