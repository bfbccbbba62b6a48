custom_imports = dict(imports=["mixnet_dense"], allow_failed_imports=False)
custom_hooks = [dict(type="mixnet_dense.LiveProgressHook")]
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
# How several processes share gradients, see docs/scaling.md.
model_wrapper_cfg = dict(gradient_as_bucket_view=True)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0)
# docs/survival.md: the share of a data set's images that may be unreadable, and how many steps
# with a loss that is NaN or infinite are left out before the training ends.
survival = dict(max_unreadable=0.01, skip_bad_losses=0)
